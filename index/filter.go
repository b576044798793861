package index

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Filter chooses the works for which all its conditions hold; all works if it
// has none.
type Filter []Condition

// Condition is about one field of a work. As text it reads
//
//	FIELD OP VALUE[|VALUE]...
//
// for example "artist=Claude Monet|Édouard Manet", "year>=1880" or
// "metadata.museum!=Louvre". A backslash takes the special meaning from the
// character after it.
type Condition struct {
	// Field is id, title, artist, year, link or "metadata." and a key.
	Field string
	Op    Op
	// Values are texts; numbers and booleans are compared as they are written
	// in JSON. Year has whole numbers.
	Values []string
}

// Op is how a field is compared with the values of a condition.
type Op string

const (
	// Equal holds if the field is one of the values. A list in the metadata is
	// if one of its elements is. What a work lacks equals "", but metadata that
	// it lacks equals nothing.
	Equal Op = "="
	// NotEqual holds if Equal does not.
	NotEqual Op = "!="
	// AtLeast and AtMost compare the year, where it is known, with one value.
	AtLeast Op = ">="
	AtMost  Op = "<="
)

// Check returns an *Error (Invalid) that names the first condition that means
// nothing.
func (f Filter) Check() error {
	if len(f) > maxConditions {
		return invalid("a filter of %d conditions: %d can be", len(f), maxConditions)
	}
	for _, c := range f {
		if err := c.check(); err != nil {
			return invalid("filter %q: %w", shorten(c.String()), err)
		}
	}
	return nil
}

const (
	maxConditions  = 100
	metadataPrefix = "metadata."
)

func (c Condition) check() error {
	key, isMetadata := strings.CutPrefix(c.Field, metadataPrefix)
	switch {
	case isMetadata && key == "":
		return errors.New("names no key of the metadata")
	case !isMetadata && !slices.Contains([]string{"id", "title", "artist", "year", "link"}, c.Field):
		return fmt.Errorf("%q is no field: there are id, title, artist, year, link and %sKEY", shorten(c.Field), metadataPrefix)
	case len(c.Values) == 0:
		return errors.New("has no value")
	}
	switch c.Op {
	case Equal, NotEqual:
	case AtLeast, AtMost:
		if c.Field != "year" || len(c.Values) != 1 {
			return fmt.Errorf("%s compares the year with one value", c.Op)
		}
	default:
		return fmt.Errorf("%q does not compare: there are =, !=, >= and <=", c.Op)
	}
	if c.Field == "year" {
		for _, v := range c.Values {
			if _, err := strconv.ParseInt(v, 10, 32); err != nil {
				return fmt.Errorf("%q is no year", shorten(v))
			}
		}
	}
	return nil
}

// Match reports whether w is one of the works that f, which passed Check,
// chooses.
func (f Filter) Match(w *Work) bool {
	for i := range f {
		if !f[i].match(w) {
			return false
		}
	}
	return true
}

func (c *Condition) match(w *Work) bool {
	var equal bool
	switch c.Field {
	case "id":
		equal = slices.Contains(c.Values, w.ID)
	case "title":
		equal = slices.Contains(c.Values, w.Title)
	case "artist":
		equal = slices.Contains(c.Values, w.Artist)
	case "link":
		equal = slices.Contains(c.Values, w.Link)
	case "year":
		return c.matchYear(w.Year)
	default:
		equal = c.matchValue(w.Metadata[c.Field[len(metadataPrefix):]])
	}
	return equal == (c.Op == Equal)
}

func (c *Condition) matchYear(year int) bool {
	equal := false
	for _, v := range c.Values {
		n, _ := strconv.Atoi(v) // checked
		switch c.Op {
		case AtLeast:
			return year != 0 && year >= n
		case AtMost:
			return year != 0 && year <= n
		default:
			equal = equal || year == n
		}
	}
	return equal == (c.Op == Equal)
}

func (c *Condition) matchValue(v any) bool {
	switch v := v.(type) {
	case string:
		return slices.Contains(c.Values, v)
	case json.Number:
		return slices.Contains(c.Values, v.String())
	case bool:
		return slices.Contains(c.Values, strconv.FormatBool(v))
	case []any:
		return slices.ContainsFunc(v, c.matchValue)
	}
	return false // null, objects, nothing
}

// ParseFilter reads conditions from their text, and checks them.
func ParseFilter(conditions ...string) (Filter, error) {
	f := make(Filter, len(conditions))
	for i, text := range conditions {
		if err := f[i].UnmarshalText([]byte(text)); err != nil {
			return nil, err
		}
	}
	return f, f.Check()
}

// String is c as text, which UnmarshalText reads.
func (c Condition) String() string {
	var b strings.Builder
	b.WriteString(fieldEscaper.Replace(c.Field))
	b.WriteString(string(c.Op))
	for i, v := range c.Values {
		if i > 0 {
			b.WriteByte('|')
		}
		b.WriteString(valueEscaper.Replace(v))
	}
	return b.String()
}

var (
	fieldEscaper = strings.NewReplacer(`\`, `\\`, `=`, `\=`, `!`, `\!`, `<`, `\<`, `>`, `\>`)
	valueEscaper = strings.NewReplacer(`\`, `\\`, `|`, `\|`)
)

// MarshalText is String.
func (c Condition) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads a condition. The error, an *Error (Invalid), is about its
// form only; Filter.Check knows the rest.
func (c *Condition) UnmarshalText(text []byte) error {
	s := string(text)
	field, rest, ok := cutUnescaped(s, "=!<>")
	if !ok {
		return invalid("filter %q: compares nothing with =, !=, >= or <=", shorten(s))
	}
	op := rest[:1]
	if op != "=" {
		if !strings.HasPrefix(rest[1:], "=") {
			return invalid("filter %q: %q does not compare: there are =, !=, >= and <=", shorten(s), op)
		}
		op += "="
	}
	rest = rest[len(op):]
	*c = Condition{Field: field, Op: Op(op)}
	for more := true; more; {
		var value string
		value, rest, more = cutUnescaped(rest, "|")
		c.Values = append(c.Values, value)
		rest = strings.TrimPrefix(rest, "|")
	}
	return nil
}

// cutUnescaped splits s before the first of the characters in stops that no
// backslash precedes. before is without its backslashes.
func cutUnescaped(s, stops string) (before, after string, found bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
		case strings.IndexByte(stops, s[i]) >= 0:
			return b.String(), s[i:], true
		}
		b.WriteByte(s[i])
	}
	return b.String(), "", false
}
