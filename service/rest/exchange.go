package rest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/service/exchange"
)

// importFormats are told by the Content-Type: a body is too long to look at first.
var importFormats = map[string]exchange.Format{
	"application/x-ndjson": exchange.NDJSON, "application/ndjson": exchange.NDJSON, "application/jsonl": exchange.NDJSON,
	"text/csv": exchange.CSV,
}

func (s *Server) importWorks(c echo.Context) error {
	if err := refuseOptions(c.QueryParams()); err != nil {
		return err
	}
	mediaType, _, _ := mime.ParseMediaType(c.Request().Header.Get(echo.HeaderContentType)) // of a broken one there is none
	format, ok := importFormats[mediaType]
	if !ok {
		return badRequest("the Content-Type is %q: application/x-ndjson and text/csv can be imported", mediaType)
	}
	report, err := exchange.Import(c.Request().Context(), s.service, s.patiently(c), exchange.ImportOptions{
		Format: format, MaxLineBytes: int(s.config.Limits.MaxLineBytes), LineTimeout: s.config.Server.RequestTimeout,
	})
	if err != nil {
		var timeout interface{ Timeout() bool }
		if errors.As(err, &timeout) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = bodyError("importing", err)
		}
		return fmt.Errorf("after %d works: %w", report.Works, err)
	}
	answer := api.ImportResult{
		Lines: report.Lines, Works: report.Works, Photos: report.Photos, Failed: report.Failed,
		Errors: make([]api.LineError, len(report.Errors)),
	}
	for i, e := range report.Errors {
		answer.Errors[i] = api.LineError{Line: e.Line, Work: e.Work, Code: string(e.Err.Code), Detail: e.Err.Detail}
	}
	return c.JSON(http.StatusOK, answer)
}

// patiently returns the body of a request that may take any time in all, but not for its next piece.
func (s *Server) patiently(c echo.Context) io.Reader {
	return &patientReader{
		body: c.Request().Body, connection: http.NewResponseController(c.Response()),
		read: s.config.Server.ReadTimeout, write: s.config.Server.WriteTimeout,
	}
}

type patientReader struct {
	body        io.Reader
	connection  *http.ResponseController
	read, write time.Duration
}

func (r *patientReader) Read(p []byte) (int, error) {
	now := time.Now()
	if err := r.connection.SetReadDeadline(now.Add(r.read)); err != nil {
		return 0, err
	}
	n, err := r.body.Read(p)
	if err != nil {
		// From here on the server watches for a client that goes away, which must not run into the
		// deadline: that would end the work on what has been read.
		if deadlineErr := r.connection.SetReadDeadline(time.Time{}); deadlineErr != nil {
			return n, errors.Join(err, deadlineErr)
		}
	}
	if deadlineErr := r.connection.SetWriteDeadline(now.Add(r.read + r.write)); deadlineErr != nil {
		return n, deadlineErr
	}
	return n, err
}

// exportOptionNames are the options that the contract has, a test keeps them in step.
var exportOptionNames = []string{filterOption, "crops"}

func (s *Server) exportWorks(c echo.Context) error {
	values, err := query(c)
	if err != nil {
		return err
	}
	filter, rest, err := cutFilter(values)
	if err != nil {
		return err
	}
	options := exchange.ExportOptions{Filter: filter, Crops: true}
	err = setOptions(rest, exportOptionNames, func(_, text string) (err error) {
		options.Crops, err = parseBool(text)
		return err
	})
	if err != nil {
		return err
	}
	store, err := s.service.Catalogue()
	if err != nil {
		return err
	}
	connection := http.NewResponseController(c.Response())
	if err := connection.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("lifting the deadline of reading: %w", err)
	}
	c.Response().Header().Set(echo.HeaderContentType, "application/x-ndjson")
	out := &patientWriter{to: c.Response(), connection: connection, patience: s.config.Server.WriteTimeout}
	if _, err := exchange.Export(c.Request().Context(), store, out, options); err != nil {
		return s.breakOff(c, err)
	}
	return nil
}

// breakOff ends an answer that has begun so that the client notices: the connection is cut.
func (s *Server) breakOff(c echo.Context, err error) error {
	if !c.Response().Committed {
		return err
	}
	if !errors.Is(err, context.Canceled) {
		s.log.ErrorContext(c.Request().Context(), "an answer was broken off", "error", err,
			"request_id", c.Response().Header().Get(echo.HeaderXRequestID))
	}
	panic(http.ErrAbortHandler)
}

// patientWriter gives the client some time for every piece of an answer of any length.
type patientWriter struct {
	to         io.Writer
	connection *http.ResponseController
	patience   time.Duration
}

func (w *patientWriter) Write(p []byte) (int, error) {
	if err := w.connection.SetWriteDeadline(time.Now().Add(w.patience)); err != nil {
		return 0, err
	}
	return w.to.Write(p)
}
