package triton

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Error is what every method of Client returns when it fails.
type Error struct {
	Kind  Kind
	Op    string // "infer", "load", ...: the method that failed
	Model string // empty where no model is concerned
	Err   error  // the cause: context.DeadlineExceeded, context.Canceled or a gRPC status
}

func (e *Error) Error() string {
	about := e.Op
	if e.Model != "" {
		about += " " + e.Model
	}
	// The prefix "rpc error: code = ..." of gRPC says less than Kind does.
	cause := e.Err.Error()
	if s, ok := status.FromError(e.Err); ok {
		cause = s.Message()
	}
	return fmt.Sprintf("triton: %s: %s: %s", about, e.Kind, cause)
}

func (e *Error) Unwrap() error { return e.Err }

// Kind says what a failure means to the caller.
type Kind int

const (
	// Internal is a fault of the model or of Triton, or an answer that this
	// package does not know.
	Internal Kind = iota
	// Unavailable: no Triton could be reached, or the connection broke while
	// the request was under way (it may have been processed).
	Unavailable
	// NotReady: Triton is there, but the model is not loaded, is unknown, or is
	// being unloaded. The request was not processed.
	NotReady
	// QueueFull: the model's queue at Triton has no room (max_queue_size).
	QueueFull
	// Timeout: the deadline of the context, or Triton's own queue timeout.
	Timeout
	// Canceled: the caller's context was cancelled.
	Canceled
	// InvalidRequest: names, shapes or types that the model does not take.
	InvalidRequest
	// BadResponse: the answer's tensors are not those that were asked for.
	BadResponse
)

func (k Kind) String() string {
	switch k {
	case Unavailable:
		return "unavailable"
	case NotReady:
		return "not ready"
	case QueueFull:
		return "queue full"
	case Timeout:
		return "timeout"
	case Canceled:
		return "canceled"
	case InvalidRequest:
		return "invalid request"
	case BadResponse:
		return "bad response"
	default:
		return "internal error"
	}
}

// KindOf returns the Kind of the *Error in err's chain. ok is false when there
// is none.
func KindOf(err error) (kind Kind, ok bool) {
	var e *Error
	if !errors.As(err, &e) {
		return Internal, false
	}
	return e.Kind, true
}

// failure wraps what a gRPC call returned. The server's status decides, but a
// context that ended decides first: gRPC reports a broken connection when the
// two race.
func failure(ctx context.Context, op, model string, err error) *Error {
	kind := kindOfStatus(status.Convert(err))
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded), status.Code(err) == codes.DeadlineExceeded:
		kind, err = Timeout, context.DeadlineExceeded
	case ctx.Err() != nil:
		kind, err = Canceled, context.Canceled
	case status.Code(err) == codes.Canceled:
		// Nobody here has cancelled: Triton saw the deadline pass a moment before this side did, or
		// broke off by itself.
		kind = Unavailable
		if deadline, bounded := ctx.Deadline(); bounded && time.Until(deadline) < clockSkew {
			kind, err = Timeout, context.DeadlineExceeded
		}
	}
	return &Error{Kind: kind, Op: op, Model: model, Err: err}
}

// clockSkew is how much sooner than this side Triton may see a deadline pass. It
// is told the time that is left and not the hour, so that little more than the
// rounding of its clock is between the two.
const clockSkew = 100 * time.Millisecond

// repeatable: the request was not processed, and is not what ended Triton.
func (e *Error) repeatable() bool {
	return e.Kind == NotReady || e.Kind == Unavailable && status.Code(e.Err) == codes.Canceled
}

func kindOfStatus(s *status.Status) Kind {
	switch s.Code() {
	case codes.NotFound:
		return NotReady
	case codes.InvalidArgument, codes.OutOfRange:
		return InvalidRequest
	case codes.ResourceExhausted:
		// "grpc: received message larger than max" is this side's own limit;
		// Triton's words for its limit begin otherwise.
		if strings.HasPrefix(s.Message(), "grpc: received message") {
			return BadResponse
		}
		return InvalidRequest
	case codes.Unavailable:
		return kindOfUnavailable(s.Message())
	default:
		return Internal
	}
}

// kindOfUnavailable tells apart by their words what Triton reports with one
// code.
func kindOfUnavailable(message string) Kind {
	for _, m := range []struct {
		words string
		kind  Kind
	}{
		{"Exceeds maximum queue size", QueueFull},
		{"Request timeout expired", Timeout},
		{"not at ready state", NotReady},
		{"not ready", NotReady},
		{"stopped accepting new inference requests", NotReady},
		{"Server is stopping", NotReady},
		{"Server exiting", NotReady},
		{"This protocol is restricted", Internal},
	} {
		if strings.Contains(message, m.words) {
			return m.kind
		}
	}
	return Unavailable
}
