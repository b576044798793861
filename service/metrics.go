package service

import (
	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	stages     *prometheus.HistogramVec
	inferences *prometheus.HistogramVec
	detections prometheus.Histogram
	similarity prometheus.Histogram
	refused    *prometheus.CounterVec
	modelReady *prometheus.GaugeVec
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
		modelReady: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "lexicrop_model_ready",
			Help: "Whether a configured model is ready.",
		}, []string{"model"}),
	}
	registry.MustRegister(m.stages, m.inferences, m.detections, m.similarity, m.refused, m.modelReady)
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

// observe counts the stages of a request that was answered.
func (m *metrics) observe(w *stopwatch) {
	for _, t := range w.timings {
		m.stages.WithLabelValues(t.Stage).Observe(t.Duration.Seconds())
	}
}
