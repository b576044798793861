package index

import "fmt"

// Space is where vectors can be compared: those of one embedding model.
type Space struct {
	Name string // of the vector space, as the model declares it
	// Fingerprint identifies the model's file and contract.
	Fingerprint string
	// Dimension is the number of values of a vector.
	Dimension int
}

func (s Space) String() string {
	return fmt.Sprintf("%q (fingerprint %q, dimension %d)", s.Name, s.Fingerprint, s.Dimension)
}

// Check returns an *Error unless vectors of space given can be compared with
// those of s: OtherSpace, or WrongDimension where that alone differs.
func (s Space) Check(given Space) error {
	switch {
	case s.Name != given.Name || s.Fingerprint != given.Fingerprint:
		return &Error{Kind: OtherSpace, Err: &SpaceError{Index: s, Given: given}}
	case s.Dimension != given.Dimension:
		return &Error{Kind: WrongDimension, Err: &SpaceError{Index: s, Given: given}}
	}
	return nil
}

// Valid returns an *Error (Invalid) unless an index can be made for s.
func (s Space) Valid() error {
	for _, text := range []struct{ name, value string }{{"name", s.Name}, {"fingerprint", s.Fingerprint}} {
		if err := checkID(text.value); err != nil {
			return invalid("%s of the vector space: %w", text.name, err)
		}
	}
	if s.Dimension < 1 || s.Dimension > MaxDimension {
		return invalid("dimension %d of the vector space: 1 to %d can be", s.Dimension, MaxDimension)
	}
	return nil
}
