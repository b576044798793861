package service

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lexicam/lexicrop/modelrepo"
)

type metrics struct {
	stages     *prometheus.HistogramVec
	inferences *prometheus.HistogramVec
	detections prometheus.Histogram
	similarity prometheus.Histogram
	refused    *prometheus.CounterVec
	swaps      *prometheus.CounterVec
	swapTime   *prometheus.HistogramVec
	// comparisons, agreement, sameness and comparedTime are of models that are asked beside.
	comparisons  *prometheus.CounterVec
	agreement    *prometheus.HistogramVec
	sameness     *prometheus.HistogramVec
	comparedTime *prometheus.HistogramVec
}

func newMetrics(registry prometheus.Registerer, gates ...*gate) *metrics {
	m := &metrics{
		stages: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "lexicrop_stage_duration_seconds",
			Help:    "Time that a request spent in a stage.",
			Buckets: []float64{.0002, .0005, .001, .002, .005, .01, .02, .03, .05, .1, .2, .5, 1, 2, 5},
		}, []string{"stage"}),
		inferences: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "lexicrop_triton_request_duration_seconds",
			Help:    "Time of a request to Triton, there and back, by model and outcome.",
			Buckets: []float64{.001, .002, .005, .007, .01, .015, .02, .03, .05, .1, .2, .5, 1, 2, 5},
		}, []string{"model", "outcome"}),
		detections: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "lexicrop_detections",
			Help:    "Works found in a photo.",
			Buckets: []float64{0, 1, 2, 4, 8, 16, 32},
		}),
		similarity: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "lexicrop_search_similarity",
			Help:    "Similarity (cosine) of the first work that a search found.",
			Buckets: []float64{.2, .3, .4, .5, .6, .7, .8, .9, .95},
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lexicrop_queue_refused_total",
			Help: "Requests sent away because a queue was full.",
		}, []string{"queue"}),
		swaps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lexicrop_model_swaps_total",
			Help: "Changes of a model to another, by how they ended: done, failed or superseded by a newer one.",
		}, []string{"task", "role", "outcome"}),
		swapTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "lexicrop_model_swap_duration_seconds",
			Help:    "Time from the wish for another model to its first request, or to its failure.",
			Buckets: []float64{.1, .2, .5, 1, 2, 5, 10, 20, 60, 120, 300, 600},
		}, []string{"task", "role", "outcome"}),
	}
	m.comparisons = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "lexicrop_comparisons_total",
		Help: "Answers that were compared with those of another model, by how that ended: done, dropped (no room to spare) or failed.",
	}, []string{"task", "role", "outcome"})
	m.agreement = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "lexicrop_comparison_iou",
		Help:    "IoU of the first works that two detectors find in a photo.",
		Buckets: []float64{0, .1, .2, .3, .4, .5, .6, .7, .8, .9, .95, 1},
	}, []string{"role"})
	m.sameness = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "lexicrop_comparison_cosine",
		Help:    "Cosine of the vectors that two embedders make of a photo.",
		Buckets: []float64{0, .2, .4, .6, .8, .9, .95, .98, .99, .999, 1},
	}, []string{"role"})
	m.comparedTime = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "lexicrop_comparison_duration_seconds",
		Help:    "Time of inference of the answers compared: answered, and beside.",
		Buckets: []float64{.001, .002, .005, .007, .01, .015, .02, .03, .05, .1, .2, .5, 1, 2, 5},
	}, []string{"task", "role", "side"})
	registry.MustRegister(m.comparisons, m.agreement, m.sameness, m.comparedTime)
	registry.MustRegister(m.stages, m.inferences, m.detections, m.similarity, m.refused, m.swaps, m.swapTime)
	for _, g := range gates {
		m.watchGate(registry, g)
	}
	return m
}

// watchGate shows a gate as it is when the metrics are read.
func (m *metrics) watchGate(registry prometheus.Registerer, g *gate) {
	label := prometheus.Labels{"queue": g.name}
	g.refused = m.refused.With(label)
	registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "lexicrop_queue_waiting", Help: "Requests waiting for a slot.", ConstLabels: label,
		}, func() float64 { return float64(g.waiting.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "lexicrop_queue_running", Help: "Requests that hold a slot.", ConstLabels: label,
		}, func() float64 { return float64(g.inside.Load()) }),
	)
}

// compared notes how long two models took for one photo.
func (m *metrics) compared(task modelrepo.Task, role Role, answered, beside time.Duration) {
	m.comparedTime.WithLabelValues(string(task), string(role), "answered").Observe(answered.Seconds())
	m.comparedTime.WithLabelValues(string(task), string(role), "beside").Observe(beside.Seconds())
}

// observe counts the stages of a request that was answered.
func (m *metrics) observe(w *stopwatch) {
	for _, t := range w.timings {
		m.stages.WithLabelValues(t.Stage).Observe(t.Duration.Seconds())
	}
}

// readiness shows which models answer, as it is when the metrics are read. A model that is to take
// another's place is none of them.
type readiness struct{ models func() []ModelStatus }

var readinessDesc = prometheus.NewDesc("lexicrop_model_ready", "Whether a configured model is ready.", []string{"task", "role", "model"}, nil)

// Describe implements prometheus.Collector.
func (r readiness) Describe(descs chan<- *prometheus.Desc) { descs <- readinessDesc }

// Collect implements prometheus.Collector.
func (r readiness) Collect(metrics chan<- prometheus.Metric) {
	seen := map[[2]string]bool{}
	for _, m := range r.models() {
		place := [2]string{m.Task, string(m.Role)}
		if seen[place] {
			continue
		}
		seen[place] = true
		ready := 0.0
		if m.Ready {
			ready = 1
		}
		metrics <- prometheus.MustNewConstMetric(readinessDesc, prometheus.GaugeValue, ready, m.Task, string(m.Role), m.Name)
	}
}
