// Package rest is the HTTP face of the service: routes, reading of uploads, options, answers and
// errors, the page for a person, and the listener for the operator.
package rest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/propagation"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/service"
)

// Server serves the API on one listener and what the operator needs on another.
type Server struct {
	config   *config.Config
	service  *service.Service
	log      *slog.Logger
	metrics  *metrics
	buffers  *bufferPool
	stopping atomic.Bool
	public   *http.Server
	admin    *http.Server
}

// New returns a server of svc. Its metrics, and all that registry has already, appear on the admin
// listener.
func New(cfg *config.Config, svc *service.Service, registry *prometheus.Registry, log *slog.Logger) *Server {
	s := &Server{config: cfg, service: svc, log: log, metrics: newMetrics(registry), buffers: &bufferPool{}}
	quiet := slog.NewLogLogger(log.Handler(), slog.LevelDebug)
	s.public = &http.Server{
		Handler:           s.routes(),
		ReadHeaderTimeout: cfg.Server.ReadHeaderTimeout,
		ReadTimeout:       cfg.Server.ReadTimeout,
		WriteTimeout:      cfg.Server.WriteTimeout,
		IdleTimeout:       cfg.Server.IdleTimeout,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          quiet,
	}
	s.admin = &http.Server{
		Handler:           s.adminRoutes(registry),
		ReadHeaderTimeout: cfg.Server.ReadHeaderTimeout,
		ErrorLog:          quiet,
	}
	return s
}

// Serve answers on both listeners until ctx ends, then stops gracefully: readiness fails first, so
// that load balancers look elsewhere, requests in flight are finished, then the listeners close. It
// owns the listeners.
func (s *Server) Serve(ctx context.Context, public, admin net.Listener) error {
	failed := make(chan error, 2)
	serve := func(name string, server *http.Server, listener net.Listener) {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serving the %s listener: %w", name, err)
		}
	}
	go serve("public", s.public, public)
	go serve("admin", s.admin, admin)
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
		s.stopping.Store(true)
		s.log.Info("stopping: readiness fails, then requests in flight are finished",
			"delay", s.config.Server.ShutdownDelay, "grace", s.config.Server.ShutdownGrace)
		time.Sleep(s.config.Server.ShutdownDelay)
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Server.ShutdownGrace)
	defer cancel()
	if shutdownErr := s.public.Shutdown(grace); shutdownErr != nil {
		err = errors.Join(err, fmt.Errorf("requests were cut off after the grace of %v: %w", s.config.Server.ShutdownGrace, shutdownErr), s.public.Close())
	}
	return errors.Join(err, s.admin.Close())
}

func (s *Server) routes() http.Handler {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	problems := &problemWriter{log: s.log, formats: s.service.Formats(), retryAfter: s.config.Admission.RetryAfter}
	e.HTTPErrorHandler = problems.handle
	e.Use(
		middleware.RequestIDWithConfig(middleware.RequestIDConfig{TargetHeader: echo.HeaderXRequestID}),
		s.observe,
		middleware.RecoverWithConfig(middleware.RecoverConfig{DisableErrorHandler: true, LogErrorFunc: s.logPanic}),
		s.traceparent,
	)
	s.apiRoutes(e)
	s.pageRoutes(e)
	return e
}

// apiRoutes need a key where keys are configured.
func (s *Server) apiRoutes(e *echo.Echo) {
	guard := newGuard(s.config.Auth)
	guard.canaryHeader = s.config.Server.CanaryHeader
	reads := []echo.MiddlewareFunc{guard.reads, s.deadline}
	e.POST("/v1/crop", s.crop, reads...)
	e.POST("/detect", s.detect, reads...)
	e.POST("/detect/base64", s.detectBase64, reads...)
	e.POST("/v1/embed", s.embed, reads...)
	e.POST("/v1/search", s.search, reads...)
	e.GET("/v1/works", s.listWorks, reads...)
	e.GET("/v1/works/:id", s.getWork, reads...)
	e.GET("/v1/works/:id/photos/:photo", s.getPhoto, reads...)
	e.GET("/v1/works/:id/photos/:photo/crop", s.getPhotoCrop, reads...)
	e.GET("/v1/models", s.models, guard.reads)
	e.GET("/v1/limits", s.limits, guard.reads)

	writes := []echo.MiddlewareFunc{guard.writes, s.deadline}
	e.DELETE("/v1/works", s.deleteWorks, writes...)
	e.PUT("/v1/works/:id", s.putWork, writes...)
	e.DELETE("/v1/works/:id", s.deleteWork, writes...)
	e.PUT("/v1/works/:id/photos/:photo", s.putPhoto, writes...)
	e.DELETE("/v1/works/:id/photos/:photo", s.deletePhoto, writes...)

	// As long as they need.
	e.GET("/v1/export", s.exportWorks, guard.reads)
	e.POST("/v1/import", s.importWorks, guard.writes)
}

// traceparent lets the caller's trace go on to Triton.
func (s *Server) traceparent(next echo.HandlerFunc) echo.HandlerFunc {
	var propagator propagation.TraceContext
	return func(c echo.Context) error {
		r := c.Request()
		if r.Header.Get("Traceparent") != "" {
			c.SetRequest(r.WithContext(propagator.Extract(r.Context(), propagation.HeaderCarrier(r.Header))))
		}
		return next(c)
	}
}

// deadline bounds a request by the server's own limit, or by less where the client asks for it.
func (s *Server) deadline(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		timeout := s.config.Server.RequestTimeout
		if text := c.Request().Header.Get("Request-Timeout"); text != "" {
			wanted, err := parseTimeout(text)
			if err != nil {
				return err
			}
			timeout = min(timeout, wanted)
		}
		ctx, cancel := context.WithTimeout(c.Request().Context(), timeout)
		defer cancel()
		c.SetRequest(c.Request().WithContext(ctx))
		// A body that does not come ends too, a moment later: a read that times out cancels the
		// request's context, and where the body is long read the deadline itself has to be first.
		reading := http.NewResponseController(c.Response())
		if err := reading.SetReadDeadline(time.Now().Add(timeout + time.Second)); err != nil {
			return fmt.Errorf("bounding the time of reading: %w", err)
		}
		return next(c)
	}
}

func (s *Server) logPanic(c echo.Context, err error, stack []byte) error {
	s.log.ErrorContext(c.Request().Context(), "panic in a handler", "error", err, "stack", string(stack),
		"request_id", c.Response().Header().Get(echo.HeaderXRequestID))
	return err
}

// parseTimeout reads a number of seconds.
func parseTimeout(text string) (time.Duration, error) {
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil || !(seconds > 0 && seconds < 1e6) {
		return 0, badRequest("the header Request-Timeout is %q, must be a number of seconds above 0", text)
	}
	return time.Duration(seconds * float64(time.Second)), nil
}
