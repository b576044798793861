package index

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"slices"
	"strconv"
)

// Term is a digest of a condition "FIELD=VALUE". A store that keeps the terms of
// its works has a database compare digests, by an index, and yet what equals
// what is decided here, once, when a work is written, as Filter decides it:
// numbers by their digits, lists by their elements.
type Term [16]byte

// TermOf is the term of one value of a field other than year.
func TermOf(field, value string) Term {
	sum := sha256.Sum256([]byte(Condition{Field: field, Op: Equal, Values: []string{value}}.String()))
	return Term(sum[:16])
}

// TermsOf are those that hold for a work, in order: of its title, artist, link
// and metadata. Stores know id and year themselves.
func TermsOf(w *Work) []Term {
	terms := []Term{TermOf("title", w.Title), TermOf("artist", w.Artist), TermOf("link", w.Link)}
	for key, v := range w.Metadata {
		terms = appendTerms(terms, metadataPrefix+key, v)
	}
	slices.SortFunc(terms, func(a, b Term) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(terms)
}

func appendTerms(terms []Term, field string, value any) []Term {
	switch v := value.(type) {
	case string:
		return append(terms, TermOf(field, v))
	case json.Number:
		return append(terms, TermOf(field, v.String()))
	case bool:
		return append(terms, TermOf(field, strconv.FormatBool(v)))
	case []any:
		for _, element := range v {
			terms = appendTerms(terms, field, element)
		}
	}
	return terms // null and objects equal nothing
}
