// Package service does the job: it finds the artwork in a photo and crops it. It decides what is
// decoded and inferred when, keeps the models ready, and knows nothing of HTTP.
package service

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/preprocess"
	"github.com/lexicam/lexicrop/triton"
)

// Limits bound a photo, checked on its header.
type Limits = preprocess.Limits

// Options says how a Service works. The zero value of a number means what its comment says.
type Options struct {
	// Limits bound a photo, checked on its header.
	Limits Limits
	// Detector is the model that finds the works, Embedder the one that turns a work into a vector; with
	// an empty name there is none.
	Detector, Embedder ModelName
	// DecodeSlots is how many pictures are decoded at once (0: one a core), DecodeQueue how many wait.
	DecodeSlots, DecodeQueue int
	// InferSlots is how many inferences are under way at once (0: two a core, so that one is on its
	// way while one is computed), InferQueue how many wait.
	InferSlots, InferQueue int
	// NMS is the IoU from which two boxes are the same work.
	NMS float64
	// RefineBelow is the share of the photo's area under which a work is looked at again, closer;
	// 0 never does.
	RefineBelow float64
	// CropAll makes the whole photo the crop where nothing is found.
	CropAll bool
	// MinArea and MaxArea are the shares of the photo's area between which the work that was found is
	// what becomes a vector; otherwise the whole photo does.
	MinArea, MaxArea float64
	// OpenStore opens the catalogue; nil where there is none. There is none without an Embedder.
	OpenStore OpenStore
	// CropSide is the longer side in pixels of the crops that the catalogue keeps, 0 to keep none.
	CropSide int
	// LoadTimeout bounds the loading of a model by Triton.
	LoadTimeout time.Duration
}

// Service finds and crops artworks. It is safe for concurrent use.
type Service struct {
	options  Options
	log      *slog.Logger
	metrics  *metrics
	decoding *gate
	infering *gate
	loads    *loads
	detector *model[*detector]
	embedder *model[*embedder] // nil where none is configured
	// catalogue is nil where none is configured.
	catalogue *catalogue
	// life ends with the service; besides bounds what is asked beside.
	life    context.Context //nolint:containedctx // see above
	besides *semaphore.Weighted
	stop    context.CancelFunc
	running sync.WaitGroup
}

// New returns a service that infers through client. It begins to make its models ready in the
// background and is usable at once: until a model is ready, answers are errors of
// CodeModelNotReady. The caller closes it, and the client after it.
func New(o Options, client *triton.Client, registry prometheus.Registerer, log *slog.Logger) *Service {
	cores := runtime.GOMAXPROCS(0)
	if o.DecodeSlots == 0 {
		o.DecodeSlots = cores
	}
	if o.InferSlots == 0 {
		o.InferSlots = 2 * cores
	}
	s := &Service{
		options:  o,
		log:      log,
		decoding: newGate("decoding", o.DecodeSlots, o.DecodeQueue),
		infering: newGate("inference", o.InferSlots, o.InferQueue),
	}
	s.metrics = newMetrics(registry, s.decoding, s.infering)
	ctx, cancel := context.WithCancel(context.Background())
	s.life, s.stop, s.besides = ctx, cancel, semaphore.NewWeighted(besideSlots)
	keeper := &keeper{client: client, metrics: s.metrics, log: log, loadTimeout: o.LoadTimeout, running: &s.running, ctx: ctx}
	keeper.loads = &loads{client: client, log: log, running: &s.running, ctx: ctx}
	s.loads = keeper.loads
	s.detector = newModel(keeper, modelrepo.TaskDetector, openDetector)
	if o.Embedder.Name != "" {
		s.embedder = newModel(keeper, modelrepo.TaskEmbedder, openEmbedder)
	}
	s.Apply(Models{Detector: Lineup{Primary: o.Detector}, Embedder: Lineup{Primary: o.Embedder}}, false)
	registry.MustRegister(readiness{s.Models})
	if s.embedder != nil && o.OpenStore != nil {
		s.catalogue = &catalogue{open: o.OpenStore, wanted: s.embedderSpace, check: s.selfCheck, log: log}
		s.running.Go(func() { s.catalogue.watch(ctx) })
	}
	return s
}

// Close stops what runs in the background and closes the catalogue. Requests under way may fail.
func (s *Service) Close() {
	s.stop()
	s.running.Wait()
}

// Apply puts other models in use, in the background: a model is loaded beside the one that answers,
// tried, and takes its place between two requests. A failure leaves the old one in place; Models tells
// why. A newer call ends what an older one has begun. again has Triton look at the files of the models
// that stay as well. An embedder can be exchanged, but not added or taken away.
func (s *Service) Apply(m Models, again bool) {
	s.loads.delay.Store(int64(m.UnloadAfter))
	s.detector.set(m.Detector, again)
	if s.embedder != nil && m.Embedder.Primary.Name != "" {
		s.embedder.set(m.Embedder, again)
	}
}

// Models tells the state of every model, for each task the one that answers first.
func (s *Service) Models() []ModelStatus {
	models := s.detector.statuses()
	if s.embedder != nil {
		models = append(models, s.embedder.statuses()...)
	}
	return models
}

// Ready returns nil when there is a model to answer for every task, or why there is none.
func (s *Service) Ready() error {
	tasks := []ModelStatus{s.detector.status()}
	if s.embedder != nil {
		tasks = append(tasks, s.embedder.status())
	}
	for _, m := range tasks {
		if !m.Ready {
			return notReady(m.Name, m.Reason)
		}
	}
	return nil
}

// Formats lists the formats of photos that are taken.
func (s *Service) Formats() []string { return preprocess.Formats() }

// WaitReady returns when there is a model to answer for every task, or with the reason why not when
// ctx ends.
func (s *Service) WaitReady(ctx context.Context) error {
	for {
		err := s.Ready()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", err, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
