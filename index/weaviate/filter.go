package weaviate

import (
	"encoding/hex"
	"strconv"

	"github.com/weaviate/weaviate-go-client/v5/weaviate/filters"

	"github.com/lexicam/lexicrop/index"
)

// The server gets nothing but digests, hexadecimal digits and numbers to compare
// with: no text can be taken for a part of a query.

// termsOf are what the objects of a work and of its photos have to be chosen by.
func termsOf(w *index.Work) []string {
	terms := index.TermsOf(w)
	texts := make([]string, 0, len(terms)+1)
	texts = append(texts, term("id", w.ID))
	for _, t := range terms {
		texts = append(texts, hex.EncodeToString(t[:]))
	}
	return texts
}

func term(field, value string) string {
	t := index.TermOf(field, value)
	return hex.EncodeToString(t[:])
}

// where chooses the objects of a kind that a filter, which passed Check,
// chooses, and for which more holds.
func where(kind string, f index.Filter, more ...*filters.WhereBuilder) *filters.WhereBuilder {
	conditions := append([]*filters.WhereBuilder{text("kind", filters.Equal, kind)}, more...)
	for _, c := range f {
		conditions = append(conditions, condition(c))
	}
	return all(conditions...)
}

func condition(c index.Condition) *filters.WhereBuilder {
	negative := c.Op == index.NotEqual
	if c.Field != "year" {
		terms := make([]string, len(c.Values))
		for i, v := range c.Values {
			terms[i] = term(c.Field, v)
		}
		if !negative {
			return anyOf("terms", terms...)
		}
		var none []*filters.WhereBuilder
		for _, t := range terms {
			none = append(none, text("terms", filters.NotEqual, t))
		}
		return all(none...)
	}
	var years []*filters.WhereBuilder
	for _, v := range c.Values {
		year, _ := strconv.ParseInt(v, 10, 32) // checked
		switch c.Op {
		case index.AtLeast:
			return all(number("year", filters.NotEqual, 0), number("year", filters.GreaterThanEqual, year))
		case index.AtMost:
			return all(number("year", filters.NotEqual, 0), number("year", filters.LessThanEqual, year))
		case index.NotEqual:
			years = append(years, number("year", filters.NotEqual, year))
		default:
			years = append(years, number("year", filters.Equal, year))
		}
	}
	if negative {
		return all(years...)
	}
	return operands(filters.Or, years)
}

func all(conditions ...*filters.WhereBuilder) *filters.WhereBuilder {
	return operands(filters.And, conditions)
}

func operands(operator filters.WhereOperator, conditions []*filters.WhereBuilder) *filters.WhereBuilder {
	if len(conditions) == 1 {
		return conditions[0]
	}
	return filters.Where().WithOperator(operator).WithOperands(conditions)
}

func anyOf(property string, values ...string) *filters.WhereBuilder {
	return filters.Where().WithPath([]string{property}).WithOperator(filters.ContainsAny).WithValueText(values...)
}

func text(property string, operator filters.WhereOperator, value string) *filters.WhereBuilder {
	return filters.Where().WithPath([]string{property}).WithOperator(operator).WithValueText(value)
}

func number(property string, operator filters.WhereOperator, value int64) *filters.WhereBuilder {
	return filters.Where().WithPath([]string{property}).WithOperator(operator).WithValueInt(value)
}
