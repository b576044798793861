package config

import (
	"encoding/csv"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

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
	case *Secret:
		secret, err := parseSecret(text)
		*field = secret
		return err
	case *[]string, *Headers, *Secrets:
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
	return t == reflect.TypeFor[[]string]() || t == reflect.TypeFor[Headers]() || t == reflect.TypeFor[Secrets]()
}

// parseList is parse for the fields that are lists.
func parseList(target reflect.Value, texts []string) error {
	switch field := target.Addr().Interface().(type) {
	case *Headers:
		headers, err := parseHeaders(texts)
		*field = headers
		return err
	case *Secrets:
		secrets, err := parseSecrets(texts)
		*field = secrets
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
	case Secret:
		return []string{v.String()}
	case Secrets:
		return v.masked()
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
