package service

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/lexicam/lexicrop/modelrepo"
)

const (
	// besideSlots is how many photos are asked about beside at once; each is kept as a copy.
	besideSlots = 2
	// besideTimeout bounds one of them.
	besideTimeout = 10 * time.Second
)

// The ends of a comparison, as metrics have them.
const (
	comparisonDone    = "done"
	comparisonDropped = "dropped" // the machine had other things to do
	comparisonFailed  = "failed"
)

// other is the role of the model to compare an answer with: the shadow, or where the canary has
// answered, the primary. It is empty where there is none.
func (m *model[N]) other(ctx context.Context, answered ModelName) Role {
	switch canary := m.canary.active.Load(); {
	case roleOf(ctx) != chosen{}: // it is a comparison itself
		return ""
	case m.shadow.isReady():
		return RoleShadow
	case canary != nil && (*canary).about().isCalled(answered) && m.primary.isReady():
		return RolePrimary
	default:
		return ""
	}
}

func (n *network) isCalled(m ModelName) bool {
	return n.wanted.Name == m.Name && n.version == m.Version
}

// compareCrop asks another detector about a photo that was answered, and compares.
func (s *Service) compareCrop(ctx context.Context, photo []byte, o CropOptions, answer *Crop, watch *stopwatch) {
	other := s.detector.other(ctx, answer.Model)
	first, took := slices.Clone(answer.Detections), watch.of(StageInfer)
	s.beside(modelrepo.TaskDetector, other, photo, func(ctx context.Context, photo []byte) error {
		watch := startStopwatch()
		_, crop, err := s.find(ctx, photo, o, watch)
		if err == nil {
			s.metrics.agreement.WithLabelValues(string(other)).Observe(Agreement(first, crop.Detections))
			s.metrics.compared(modelrepo.TaskDetector, other, took, watch.of(StageInfer))
		}
		return err
	})
}

// compareEmbedding asks another embedder about a photo that was answered, and compares.
func (s *Service) compareEmbedding(ctx context.Context, photo []byte, o EmbedOptions, answer *Embedding, watch *stopwatch) {
	other := s.embedder.other(ctx, answer.Model)
	vector, took := slices.Clone(answer.Vector), watch.of(StageEmbed)
	s.beside(modelrepo.TaskEmbedder, other, photo, func(ctx context.Context, photo []byte) error {
		watch := startStopwatch()
		e, err := s.embed(ctx, photo, o, nil, watch)
		if err != nil {
			return err
		}
		if similarity := Cosine(vector, e.Vector); similarity == similarity { // vectors of one length
			s.metrics.sameness.WithLabelValues(string(other)).Observe(similarity)
		}
		s.metrics.compared(modelrepo.TaskEmbedder, other, took, watch.of(StageEmbed))
		return nil
	})
}

// beside has compare ask the model of a role, in the background, with a copy of the photo. Where the
// service has no room to spare it does not: nobody waits for it, and nobody is to wait because of it.
func (s *Service) beside(task modelrepo.Task, role Role, photo []byte, compare func(context.Context, []byte) error) {
	if role == "" || s.life.Err() != nil {
		return
	}
	outcome := s.metrics.comparisons.MustCurryWith(map[string]string{"task": string(task), "role": string(role)})
	if !s.decoding.hasRoom() || !s.infering.hasRoom() || !s.besides.TryAcquire(1) {
		outcome.WithLabelValues(comparisonDropped).Inc()
		return
	}
	photo = bytes.Clone(photo)
	s.running.Go(func() {
		defer s.besides.Release(1)
		ctx, cancel := context.WithTimeout(WithRole(s.life, task, role), besideTimeout)
		defer cancel()
		if err := compare(ctx, photo); err != nil {
			outcome.WithLabelValues(comparisonFailed).Inc()
			s.log.Debug("asking another model beside", "task", task, "role", role, "error", err)
			return
		}
		outcome.WithLabelValues(comparisonDone).Inc()
	})
}

// Agreement is the IoU of the first works of two answers: 1 where neither has one, 0 where one has.
func Agreement(a, b []Detection) float64 {
	switch {
	case len(a) == 0 && len(b) == 0:
		return 1
	case len(a) == 0 || len(b) == 0:
		return 0
	default:
		return a[0].Box.IoU(b[0].Box)
	}
}
