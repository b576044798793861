package config

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// masked stands for a secret wherever the configuration is shown.
const masked = "****"

var errMasked = errors.New("it was masked when the configuration was printed; write the real one")

func isSecret(t reflect.Type) bool {
	return t == reflect.TypeFor[Headers]() || t == reflect.TypeFor[Secret]() || t == reflect.TypeFor[Secrets]()
}

// Secret is a text that no way of printing shows.
type Secret string

// String is the mask, empty for no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString does the same for %#v.
func (s Secret) GoString() string { return s.String() }

// LogValue does the same for slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

func parseSecret(text string) (Secret, error) {
	if text == masked {
		return "", errMasked
	}
	return Secret(text), nil
}

// Secrets are keys that no way of printing shows.
type Secrets []string

// String lists as many masks.
func (s Secrets) String() string { return "[" + strings.Join(s.masked(), ", ") + "]" }

// GoString does the same for %#v.
func (s Secrets) GoString() string { return s.String() }

// LogValue does the same for slog.
func (s Secrets) LogValue() slog.Value { return slog.StringValue(s.String()) }

func (s Secrets) masked() []string { return slices.Repeat([]string{masked}, len(s)) }

// minSecret is the least length of a key: a shorter one can be guessed.
const minSecret = 16

func parseSecrets(texts []string) (Secrets, error) {
	for i, text := range texts {
		switch {
		case text == masked:
			return nil, errMasked
		case len(text) < minSecret || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
			return nil, fmt.Errorf("every key must have %d printable ASCII characters or more, and no blanks", minSecret)
		case slices.Contains(texts[:i], text):
			return nil, errors.New("a key is given twice")
		}
	}
	return texts, nil
}

// Headers are names and values to send along. The values are secret: no way of
// printing shows them.
type Headers map[string]string

// String lists the headers with their values masked.
func (h Headers) String() string { return "[" + strings.Join(h.lines(true), ", ") + "]" }

// GoString does the same for %#v.
func (h Headers) GoString() string { return h.String() }

// LogValue does the same for slog.
func (h Headers) LogValue() slog.Value { return slog.StringValue(h.String()) }

// lines are the headers as "name: value", ordered by name.
func (h Headers) lines(mask bool) []string {
	lines := make([]string, 0, len(h))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		value := h[name]
		if mask {
			value = masked
		}
		lines = append(lines, name+": "+value)
	}
	return lines
}

func parseHeaders(lines []string) (Headers, error) {
	headers := Headers{}
	for _, line := range lines {
		name, value, found := strings.Cut(line, ":")
		// gRPC sends names in lower case.
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case !found || name == "" || strings.ContainsFunc(name, func(r rune) bool { return !headerNameRune(r) }):
			return nil, errors.New(`every header must be "name: value", the name of letters, digits, "-", "_" and "."`)
		case value == "" || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r > '~' }):
			return nil, fmt.Errorf("the header %s needs a value of printable ASCII characters", name)
		case value == masked:
			return nil, fmt.Errorf("the value of the header %s was masked when the configuration was printed; write the real one", name)
		}
		if _, twice := headers[name]; twice {
			return nil, fmt.Errorf("the header %s is given twice", name)
		}
		headers[name] = value
	}
	return headers, nil
}

func headerNameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r)
}
