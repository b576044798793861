package index

import (
	"errors"
	"fmt"
)

// Error is what the methods of a Store return when they fail.
type Error struct {
	Kind Kind
	Err  error // the details, never nil
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Kind, e.Err) }

// Unwrap gives the details.
func (e *Error) Unwrap() error { return e.Err }

// Kind says what a failure means to the caller.
type Kind int

const (
	// Internal is a failure of what keeps the catalogue.
	Internal Kind = iota
	// Invalid is a request that no state of the store could serve: an id, a
	// filter, a cursor, a limit.
	Invalid
	// WrongDimension is a vector of another length than the index holds.
	WrongDimension
	// BadVector is a vector without a direction: all zeros, NaN, infinite.
	BadVector
	// OtherSpace: the vectors cannot be compared with those of the index; a
	// *SpaceError in the chain has both spaces.
	OtherSpace
	// NotFound: there is no such work or photo.
	NotFound
	// Closed: the store was closed.
	Closed
	// Locked: another process has the store.
	Locked
	// Damaged: what was stored does not read as it was written. Verify lists
	// the damage; another Upsert of the same entry repairs it.
	Damaged
	// Unavailable: the server that keeps the catalogue cannot be reached, or is
	// not ready; the same call may succeed later.
	Unavailable
)

func (k Kind) String() string {
	switch k {
	case Invalid:
		return "invalid"
	case WrongDimension:
		return "wrong dimension"
	case BadVector:
		return "bad vector"
	case OtherSpace:
		return "other vector space"
	case NotFound:
		return "not found"
	case Closed:
		return "index closed"
	case Locked:
		return "index locked"
	case Damaged:
		return "index damaged"
	case Unavailable:
		return "index unavailable"
	}
	return "index failed"
}

// KindOf returns the Kind of the *Error in err's chain, Internal if there is
// none.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}

// SpaceError names the two spaces that do not go together.
type SpaceError struct {
	Index Space // of the store
	Given Space // of the vectors
}

func (e *SpaceError) Error() string {
	return fmt.Sprintf("the index holds vectors of %s, not of %s", e.Index, e.Given)
}

func invalid(format string, args ...any) error {
	return &Error{Kind: Invalid, Err: fmt.Errorf(format, args...)}
}
