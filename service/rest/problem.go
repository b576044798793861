package rest

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/service"
)

// statusClientClosed is nginx's status for a client that went away; nobody receives it, the log and
// the metrics show it.
const statusClientClosed = 499

// kind is how one kind of failure is answered.
type kind struct {
	status int
	title  string
	// retry asks the client to come again.
	retry bool
}

// kinds is the one table from failures to answers.
var kinds = map[service.Code]kind{
	service.CodeEmpty:           {http.StatusBadRequest, "The photo is empty", false},
	service.CodeInvalid:         {http.StatusBadRequest, "The request is malformed", false},
	service.CodeNoArtwork:       {http.StatusNotFound, "No artwork was found in the photo", false},
	service.CodeNotInCatalogue:  {http.StatusNotFound, "The catalogue has no such thing", false},
	service.CodeOtherSpace:      {http.StatusConflict, "The vectors are of another space than the catalogue's", false},
	service.CodeNotConfigured:   {http.StatusNotImplemented, "This server is not set up for that", false},
	service.CodeCatalogueGone:   {http.StatusServiceUnavailable, "The catalogue is not open", true},
	service.CodeUnauthorized:    {http.StatusUnauthorized, "A key is needed", false},
	service.CodeForbidden:       {http.StatusForbidden, "The key does not allow this", false},
	service.CodeRateLimited:     {http.StatusTooManyRequests, "Too many requests", true},
	service.CodeTooManyBytes:    {http.StatusRequestEntityTooLarge, "The request has too many bytes", false},
	service.CodeTooManyPixels:   {http.StatusRequestEntityTooLarge, "The photo has too many pixels", false},
	service.CodeNotAnImage:      {http.StatusUnsupportedMediaType, "This is not a picture", false},
	service.CodeUnsupported:     {http.StatusUnsupportedMediaType, "The format of the picture is not taken", false},
	service.CodeCorrupt:         {http.StatusUnprocessableEntity, "The picture is broken or incomplete", false},
	service.CodeBusy:            {http.StatusTooManyRequests, "The server is busy", true},
	service.CodeCanceled:        {statusClientClosed, "The client closed the request", false},
	service.CodeModelNotReady:   {http.StatusServiceUnavailable, "The model is not ready", true},
	service.CodeBackendGone:     {http.StatusServiceUnavailable, "The inference server cannot be reached", true},
	service.CodeModelMisbehaves: {http.StatusBadGateway, "The model failed", false},
	service.CodeDeadline:        {http.StatusGatewayTimeout, "The request took too long", false},
	service.CodeInternal:        {http.StatusInternalServerError, "The server failed", false},
}

// problemWriter answers every error of every handler.
type problemWriter struct {
	log        *slog.Logger
	formats    []string
	retryAfter time.Duration
}

// handle is Echo's error handler. What the client sees is the kind and the detail; the cause goes to
// the log alone, under the same request id.
func (p *problemWriter) handle(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	problem, retry := p.problem(err)
	c.Set(keyError, err)
	c.Set(keyCode, problem.Code)
	if id := c.Response().Header().Get(echo.HeaderXRequestID); id != "" {
		problem.RequestID = &id
	}
	header := c.Response().Header()
	header.Set(echo.HeaderContentType, "application/problem+json")
	if retry && header.Get(echo.HeaderRetryAfter) == "" {
		header.Set(echo.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	if problem.Status == http.StatusRequestEntityTooLarge {
		// The rest of the body is not worth reading.
		header.Set(echo.HeaderConnection, "close")
	}
	if c.Request().Method == http.MethodHead {
		err = c.NoContent(problem.Status)
	} else {
		c.Response().WriteHeader(problem.Status)
		err = c.Echo().JSONSerializer.Serialize(c, problem, "")
	}
	if err != nil {
		p.log.DebugContext(c.Request().Context(), "writing a problem", "error", err)
	}
}

func (p *problemWriter) problem(err error) (api.Problem, bool) {
	aboutBlank := "about:blank"
	if routing, ok := errors.AsType[*echo.HTTPError](err); ok {
		return api.Problem{
			Type: &aboutBlank, Status: routing.Code, Title: http.StatusText(routing.Code), Code: routingCode(routing.Code),
		}, false
	}
	failure := service.AsError(err)
	k, ok := kinds[failure.Code]
	if !ok {
		failure, k = &service.Error{Code: service.CodeInternal}, kinds[service.CodeInternal]
	}
	problem := api.Problem{Type: &aboutBlank, Status: k.status, Title: k.title, Code: string(failure.Code)}
	if failure.Detail != "" {
		problem.Detail = &failure.Detail
	}
	if k.status == http.StatusUnsupportedMediaType {
		problem.Formats = &p.formats
	}
	return problem, k.retry
}

// routingCode names the answers that Echo's router gives by itself.
func routingCode(status int) string {
	switch status {
	case http.StatusNotFound:
		return "not_found"
	case http.StatusMethodNotAllowed:
		return "method_not_allowed"
	default:
		return fmt.Sprintf("http_%d", status)
	}
}
