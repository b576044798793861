package triton

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Triton and this side each watch the deadline, and either may be first, by any code.
func TestWhoEndedACallIsToldByItsContext(t *testing.T) {
	open := t.Context()
	bounded, cancel := context.WithTimeout(open, time.Hour)
	defer cancel()
	almost, cancel := context.WithTimeout(open, clockSkew/2)
	defer cancel()
	expired, cancel := context.WithTimeout(open, -1)
	defer cancel()
	cancelled, cancel := context.WithCancel(bounded)
	cancel()
	for _, test := range []struct {
		name  string
		ctx   context.Context
		code  codes.Code
		want  Kind
		cause error // nil: the status itself
	}{
		{"the deadline, seen here first", expired, codes.Canceled, Timeout, context.DeadlineExceeded},
		{"the deadline, seen here alone", expired, codes.Unavailable, Timeout, context.DeadlineExceeded},
		{"the deadline, seen there first", almost, codes.Canceled, Timeout, context.DeadlineExceeded},
		{"the deadline, as gRPC reports it", bounded, codes.DeadlineExceeded, Timeout, context.DeadlineExceeded},
		{"the caller", cancelled, codes.Canceled, Canceled, context.Canceled},
		{"the caller, while the connection broke", cancelled, codes.Unavailable, Canceled, context.Canceled},
		{"Triton by itself", open, codes.Canceled, Unavailable, nil},
		{"Triton by itself, long before the deadline", bounded, codes.Canceled, Unavailable, nil},
		{"a broken connection", bounded, codes.Unavailable, Unavailable, nil},
	} {
		got := failure(test.ctx, "infer", "m", status.Error(test.code, "a cause"))
		if got.Kind != test.want || test.cause != nil && !errors.Is(got, test.cause) {
			t.Errorf("%s: %v (kind %v), want kind %v by %v", test.name, got, got.Kind, test.want, test.cause)
		}
	}
}
