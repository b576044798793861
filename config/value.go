package config

import (
	"encoding/csv"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// masked stands for a secret wherever the configuration is shown.
const masked = "****"

// ByteSize is a number of bytes. Its text is a whole number with or without a
// unit: 33554432, 32MiB, 32MB.
type ByteSize int64

var byteUnits = []struct {
	name  string
	bytes int64
}{ // those of 1024 first and the largest first, which is what String looks for
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

// String is the size in the largest unit of 1024 that needs no fraction.
func (b ByteSize) String() string {
	for _, unit := range byteUnits[:3] {
		if b != 0 && int64(b)%unit.bytes == 0 {
			return strconv.FormatInt(int64(b)/unit.bytes, 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

func parseByteSize(text string) (ByteSize, error) {
	number, factor := strings.TrimSpace(text), int64(1)
	for _, unit := range byteUnits {
		if end := len(number) - len(unit.name); end >= 0 && strings.EqualFold(number[end:], unit.name) {
			number, factor = strings.TrimSpace(number[:end]), unit.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n > math.MaxInt64/factor || n < math.MinInt64/factor {
		return 0, errors.New("a size is needed, such as 32MiB or 33554432")
	}
	return ByteSize(n * factor), nil
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

// parse sets target from the text of a file, a variable or a flag. The error
// says what would be right.
func parse(target reflect.Value, text string) error {
	switch field := target.Addr().Interface().(type) {
	case *time.Duration:
		d, err := time.ParseDuration(strings.TrimSpace(text))
		if err != nil {
			return errors.New("a duration is needed, such as 500ms, 10s or 1m30s")
		}
		*field = d
		return nil
	case *ByteSize:
		b, err := parseByteSize(text)
		*field = b
		return err
	case *slog.Level:
		if err := field.UnmarshalText([]byte(text)); err != nil {
			return errors.New("a level is needed: debug, info, warn or error")
		}
		return nil
	case *[]string, *Headers:
		texts, err := split(text)
		if err != nil {
			return err
		}
		return parseList(target, texts)
	}
	switch target.Kind() {
	case reflect.String:
		target.SetString(text)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return errors.New("true or false is needed")
		}
		target.SetBool(b)
	case reflect.Int, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, target.Type().Bits())
		if err != nil {
			return errors.New("a whole number is needed")
		}
		target.SetInt(n)
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return errors.New("a number is needed")
		}
		target.SetFloat(f)
	default:
		panic("no parser for a field of type " + target.Type().String())
	}
	return nil
}

func isList(t reflect.Type) bool {
	return t == reflect.TypeFor[[]string]() || t == reflect.TypeFor[Headers]()
}

// parseList is parse for the fields that are lists.
func parseList(target reflect.Value, texts []string) error {
	if field, ok := reflect.TypeAssert[*Headers](target.Addr()); ok {
		headers, err := parseHeaders(texts)
		*field = headers
		return err
	}
	target.Set(reflect.ValueOf(texts))
	return nil
}

// split takes a list apart that is one text, by commas; an element that has
// commas itself stands in double quotes, as in a CSV file.
func split(text string) ([]string, error) {
	if strings.TrimSpace(text) == "" {
		return []string{}, nil
	}
	reader := csv.NewReader(strings.NewReader(text))
	reader.TrimLeadingSpace = true
	reader.FieldsPerRecord = -1
	lines, err := reader.ReadAll()
	if err != nil {
		return nil, errors.New("a list is needed, separated by commas; an element that has a comma or a quote stands in double quotes")
	}
	return slices.Concat(lines...), nil
}

// format is the text of a value that parse reads back; secrets are masked.
// Lists have one text an element.
func format(value reflect.Value) []string {
	switch v := value.Interface().(type) {
	case time.Duration:
		return []string{formatDuration(v)}
	case slog.Level:
		return []string{strings.ToLower(v.String())}
	case Headers:
		return v.lines(true)
	case []string:
		return v
	}
	return []string{fmt.Sprint(value.Interface())}
}

// formatDuration leaves out the zero units that Duration.String ends in: 5m for 5m0s.
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
