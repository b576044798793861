package postgres

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/lexicam/lexicrop/index"
)

// termsOf are those that a work's row has; the database compares them by an index.
func termsOf(w *index.Work) []pgtype.UUID {
	terms := index.TermsOf(w)
	uuids := make([]pgtype.UUID, len(terms))
	for i, t := range terms {
		uuids[i] = pgtype.UUID{Bytes: t, Valid: true}
	}
	return uuids
}

// where is a filter, which passed Check, as an SQL condition on works w.
func where(f index.Filter, args *arguments) string {
	conditions := []string{"true"}
	for _, c := range f {
		conditions = append(conditions, condition(c, args))
	}
	return strings.Join(conditions, " AND ")
}

func condition(c index.Condition, args *arguments) string {
	var equal string
	switch c.Field {
	case "id":
		// PostgreSQL takes no other text, and no id is such.
		values := slices.DeleteFunc(slices.Clone(c.Values), func(v string) bool { return !canBeID(v) })
		equal = "w.id = ANY (" + args.add(values) + "::text[])"
	case "year":
		years := make([]int32, len(c.Values))
		for i, v := range c.Values {
			year, _ := strconv.ParseInt(v, 10, 32) // checked
			years[i] = int32(year)
		}
		switch c.Op {
		case index.AtLeast, index.AtMost:
			return fmt.Sprintf("w.year <> 0 AND w.year %s %s::int", c.Op, args.add(years[0]))
		}
		equal = "w.year = ANY (" + args.add(years) + "::int[])"
	default:
		terms := make([]pgtype.UUID, len(c.Values))
		for i, v := range c.Values {
			terms[i] = pgtype.UUID{Bytes: index.TermOf(c.Field, v), Valid: true}
		}
		equal = "w.terms && " + args.add(terms) + "::uuid[]"
	}
	if c.Op == index.NotEqual {
		return "NOT (" + equal + ")"
	}
	return equal
}

// canBeID leaves out what the database refuses, and what no id can be.
func canBeID(s string) bool {
	return s != "" && len(s) <= index.MaxIDBytes && utf8.ValidString(s) && !strings.ContainsRune(s, 0)
}

// arguments are those of a statement that is put together.
type arguments []any

// add returns the placeholder of value.
func (a *arguments) add(value any) string {
	*a = append(*a, value)
	return "$" + strconv.Itoa(len(*a))
}

// planned has the database plan the statement for these very values: the best
// way for a filter that chooses three works is the worst for one that chooses
// all.
func (a *arguments) planned() []any {
	return append([]any{pgx.QueryExecModeCacheDescribe}, *a...)
}
