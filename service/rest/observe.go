package rest

import (
	"errors"
	"log/slog"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
)

// Keys under which a request's error and its code travel from the error handler to observe.
const (
	keyError = "lexicrop.error"
	keyCode  = "lexicrop.code"
)

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	inFlight prometheus.Gauge
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lexicrop_http_requests_total",
			Help: "Requests answered, by route, status and problem code (empty when all went well).",
		}, []string{"route", "status", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "lexicrop_http_request_duration_seconds",
			Help:    "Time from the request's header to the end of the answer.",
			Buckets: []float64{.002, .005, .01, .015, .02, .03, .05, .075, .1, .2, .5, 1, 2, 5, 10},
		}, []string{"route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "lexicrop_http_requests_in_flight",
			Help: "Requests being answered.",
		}),
	}
	registry.MustRegister(m.requests, m.duration, m.inFlight)
	return m
}

// observe counts and logs every request, with its error where it has one.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		s.metrics.inFlight.Inc()
		defer s.metrics.inFlight.Dec()
		if err := next(c); err != nil {
			c.Error(err)
		}
		elapsed := time.Since(start)
		route := c.Path()
		if route == "" {
			// Whatever strangers ask for must not become a label each.
			route = "other"
		}
		status := c.Response().Status
		code, _ := c.Get(keyCode).(string)
		s.metrics.requests.WithLabelValues(route, strconv.Itoa(status), code).Inc()
		s.metrics.duration.WithLabelValues(route).Observe(elapsed.Seconds())

		level := slog.LevelDebug
		attrs := []slog.Attr{
			slog.String("method", c.Request().Method), slog.String("route", route), slog.Int("status", status),
			slog.Duration("took", elapsed), slog.Int64("bytes_in", c.Request().ContentLength), slog.Int64("bytes_out", c.Response().Size),
			slog.String("request_id", c.Response().Header().Get(echo.HeaderXRequestID)),
		}
		if err, _ := c.Get(keyError).(error); err != nil {
			attrs = append(attrs, slog.String("error", err.Error()))
			level = errorLevel(status, err)
		}
		s.log.LogAttrs(c.Request().Context(), level, "request", attrs...)
		return nil
	}
}

// errorLevel is high only for what an operator has to look at: clients may send what they like.
func errorLevel(status int, err error) slog.Level {
	var routing *echo.HTTPError
	switch {
	case errors.As(err, &routing):
		return slog.LevelDebug
	case status >= 500:
		return slog.LevelError
	default:
		return slog.LevelInfo
	}
}
