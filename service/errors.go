package service

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/preprocess"
	"github.com/lexicam/lexicrop/triton"
)

// Code names a kind of failure; it is part of the API and never changes its meaning.
type Code string

// The kinds of failure of the service. Only what a caller can act on differently has its own code.
const (
	CodeEmpty           Code = "empty_image"           // no bytes at all
	CodeNotAnImage      Code = "not_an_image"          // not a picture by content
	CodeUnsupported     Code = "unsupported_format"    // a picture in a format not taken
	CodeCorrupt         Code = "corrupt_image"         // broken or truncated
	CodeTooManyBytes    Code = "too_many_bytes"        // the body is over the limit
	CodeTooManyPixels   Code = "too_many_pixels"       // pixels or a side are over the limit
	CodeInvalid         Code = "invalid_request"       // a parameter is out of its range
	CodeNoArtwork       Code = "artwork_not_found"     // a crop was asked for and there is nothing to crop
	CodeNotInCatalogue  Code = "not_in_catalogue"      // there is no such work or photo
	CodeOtherSpace      Code = "other_vector_space"    // vectors that cannot be compared with the catalogue's
	CodeNotConfigured   Code = "not_configured"        // this server has no embedder, or no catalogue
	CodeCatalogueGone   Code = "catalogue_unavailable" // the catalogue is not open
	CodeUnauthorized    Code = "unauthorized"          // no key, or a wrong one
	CodeForbidden       Code = "forbidden"             // the key does not allow this
	CodeRateLimited     Code = "rate_limited"          // the client asks too often
	CodeBusy            Code = "busy"                  // a queue is full, here or at Triton
	CodeCanceled        Code = "client_closed"         // the client went away
	CodeDeadline        Code = "deadline_exceeded"     // no answer in the time allowed
	CodeModelNotReady   Code = "model_not_ready"       // Triton is there, the model is not
	CodeBackendGone     Code = "backend_unavailable"   // Triton does not answer
	CodeModelMisbehaves Code = "model_failed"          // the model answered an error or nonsense
	CodeInternal        Code = "internal"              // our fault
)

// Error is every error that the service returns. Detail is for the client, Err for the log: it may
// name hosts and files and is never shown to a client.
type Error struct {
	Code   Code
	Detail string
	Err    error
}

func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return string(e.Code) + ": " + e.Detail
	case strings.HasSuffix(e.Err.Error(), e.Detail): // which says it all
		return string(e.Code) + ": " + e.Err.Error()
	default:
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Detail, e.Err)
	}
}

func (e *Error) Unwrap() error { return e.Err }

// AsError returns err as an *Error, translating the errors of the packages below and of contexts.
// It returns nil for nil.
func AsError(err error) *Error {
	var own *Error
	var picture *preprocess.Error
	var backend *triton.Error
	var catalogue *index.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return own
	case errors.As(err, &picture):
		return pictureError(picture, err)
	case errors.As(err, &backend):
		return backendError(backend, err)
	case errors.As(err, &catalogue):
		return catalogueError(catalogue, err)
	case errors.Is(err, context.Canceled):
		return &Error{Code: CodeCanceled, Detail: "the client closed the request", Err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return &Error{Code: CodeDeadline, Detail: "the request took longer than allowed", Err: err}
	default:
		return &Error{Code: CodeInternal, Detail: "an unexpected fault; the log of the server has more", Err: err}
	}
}

func pictureError(picture *preprocess.Error, err error) *Error {
	e := &Error{Code: CodeCorrupt, Detail: "the picture is broken or incomplete", Err: err}
	switch picture.Kind {
	case preprocess.Empty:
		e.Code, e.Detail = CodeEmpty, "the photo has no bytes"
	case preprocess.NotAnImage:
		e.Code, e.Detail = CodeNotAnImage, "the bytes are no picture of a known format"
	case preprocess.Unsupported:
		e.Code, e.Detail = CodeUnsupported, fmt.Sprintf("%s is not taken", picture.Format)
	case preprocess.TooManyBytes:
		e.Code, e.Detail = CodeTooManyBytes, picture.Err.Error()
	case preprocess.TooManyPixels:
		e.Code, e.Detail = CodeTooManyPixels, picture.Err.Error()
	}
	return e
}

func backendError(backend *triton.Error, err error) *Error {
	switch backend.Kind {
	case triton.Unavailable:
		return &Error{Code: CodeBackendGone, Detail: "the inference server does not answer", Err: err}
	case triton.NotReady:
		return &Error{Code: CodeModelNotReady, Detail: fmt.Sprintf("the model %s is not loaded", backend.Model), Err: err}
	case triton.QueueFull:
		return &Error{Code: CodeBusy, Detail: "the queue of the inference server is full", Err: err}
	case triton.Timeout:
		return &Error{Code: CodeDeadline, Detail: "the inference server took longer than allowed", Err: err}
	case triton.Canceled:
		return &Error{Code: CodeCanceled, Detail: "the client closed the request", Err: err}
	default:
		return &Error{Code: CodeModelMisbehaves, Detail: fmt.Sprintf("the model %s gave no usable answer", backend.Model), Err: err}
	}
}

func catalogueError(catalogue *index.Error, err error) *Error {
	if spaces, ok := errors.AsType[*index.SpaceError](err); ok {
		return &Error{Code: CodeOtherSpace, Detail: spaces.Error(), Err: err}
	}
	switch catalogue.Kind {
	case index.Invalid, index.WrongDimension, index.BadVector:
		return &Error{Code: CodeInvalid, Detail: catalogue.Err.Error(), Err: err}
	case index.NotFound:
		return &Error{Code: CodeNotInCatalogue, Detail: "the catalogue has no " + catalogue.Err.Error(), Err: err}
	case index.Closed, index.Locked:
		return &Error{Code: CodeCatalogueGone, Detail: "the catalogue is not open", Err: err}
	case index.Unavailable:
		return &Error{Code: CodeCatalogueGone, Detail: "the catalogue's server does not answer", Err: err}
	case index.Damaged:
		return &Error{Code: CodeInternal, Detail: "an entry of the catalogue is damaged; `lexicrop index verify` lists it", Err: err}
	default:
		return &Error{Code: CodeInternal, Detail: "the catalogue failed; the log of the server has more", Err: err}
	}
}
