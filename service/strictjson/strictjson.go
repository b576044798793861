// Package strictjson reads JSON that strangers write, and tells them what is wrong with it in their
// terms, not in Go's.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Object reads one JSON object into the struct that v points to. A field that the struct does not have,
// a value of another type, and anything behind the object are errors.
func Object(text []byte, v any) error {
	text = bytes.TrimSpace(text)
	if len(text) == 0 {
		return errors.New("there is nothing where a JSON object is needed")
	}
	if text[0] != '{' {
		return errors.New("a JSON object is needed")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		return explain(err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the JSON object")
	}
	return nil
}

func explain(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if wrong.Field == "" {
			return fmt.Errorf("a %s is not what is needed", wrong.Value)
		}
		return fmt.Errorf("the field %q cannot be a %s", wrong.Field, wrong.Value)
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("it is no JSON at byte %d: %w", syntax.Offset, err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it ends before the JSON object does")
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}
