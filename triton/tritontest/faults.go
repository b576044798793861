package tritontest

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/lexicam/lexicrop/triton/inference"
)

// The errors that Triton answers with, in its own words.
var (
	// ErrQueueFull is the refusal of a full queue (max_queue_size).
	ErrQueueFull = status.Error(codes.Unavailable, "[request id: <id_unknown>] Exceeds maximum queue size")
	// ErrQueueTimeout is the refusal of a request that waited too long.
	ErrQueueTimeout = status.Error(codes.Unavailable, "[request id: <id_unknown>] Request timeout expired")
	// ErrStopping is the refusal of a server that is shutting down.
	ErrStopping = status.Error(codes.Unavailable, "Server is stopping, scheduler for model has stopped accepting new inference requests")
	// ErrBrokenOff is what a request ends with that the server cancels, and not
	// its caller.
	ErrBrokenOff = status.Error(codes.Canceled, "CANCELLED")
	// ErrModel is what a Python model's exception becomes.
	ErrModel = status.Error(codes.Internal, "Failed to process the request(s) for model instance 'detector_0_0'")
)

// WrongShape makes the first output claim one row more than it has bytes for.
func WrongShape(r *inference.ModelInferResponse) { r.Outputs[0].Shape[0]++ }

// HugeShape makes the first output's dimensions overflow.
func HugeShape(r *inference.ModelInferResponse) {
	r.Outputs[0].Shape = []int64{1 << 40, 1 << 40, 4}
}

// NegativeShape makes the first output's first dimension negative.
func NegativeShape(r *inference.ModelInferResponse) { r.Outputs[0].Shape[0] = -1 }

// ShortBytes cuts the first output's bytes off in the middle.
func ShortBytes(r *inference.ModelInferResponse) {
	r.RawOutputContents[0] = r.RawOutputContents[0][:len(r.RawOutputContents[0])/2]
}

// NoBytes leaves the bytes of all outputs out.
func NoBytes(r *inference.ModelInferResponse) { r.RawOutputContents = nil }

// WrongType calls the first output an INT32.
func WrongType(r *inference.ModelInferResponse) { r.Outputs[0].Datatype = "INT32" }

// MissingOutput leaves the first output out.
func MissingOutput(r *inference.ModelInferResponse) {
	r.Outputs, r.RawOutputContents = r.Outputs[1:], r.RawOutputContents[1:]
}
