package index

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Entry is a work with some or all of its photos.
type Entry struct {
	Work   Work
	Photos []Photo
	// KeepWork, to Upsert, leaves title, artist and so on as they are where
	// the work is there already.
	KeepWork bool
}

// Work is what the catalogue knows of a work of art.
type Work struct {
	ID       string
	Title    string
	Artist   string
	Year     int // 0 if unknown, negative before Christ
	Link     string
	Metadata Metadata
}

// Photo is one picture of a work.
type Photo struct {
	ID string
	// Vector is the embedding, of any length but zero; it comes back bit by bit.
	Vector []float32
	// Hash identifies the content of the picture's file; empty if unknown.
	Hash string
	// Source tells people where the picture came from, a file name for example.
	Source string
	// Crop is the picture as it was embedded, a JPEG; nil where none is kept.
	Crop []byte
}

// Metadata is anything else that is known of a work: any JSON values. Numbers
// read are json.Number, so that they keep their digits. What a store returns may
// be shared, and must not be changed.
type Metadata map[string]any

// UnmarshalJSON takes a JSON object or null.
func (m *Metadata) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var values map[string]any
	if err := d.Decode(&values); err != nil {
		return err
	}
	*m = values
	return nil
}

// What an entry may hold.
const (
	MaxIDBytes       = 256
	MaxTextBytes     = 4 << 10 // each of title, artist, link, source, hash
	MaxMetadataBytes = 64 << 10
	MaxCropBytes     = 4 << 20
	MaxDimension     = 16384
)

// Prepare checks entries for a store of space own, to which the caller would
// add vectors of space given. It returns them with their metadata in the form
// that reading it back gives. Stores call it.
func Prepare(own, given Space, entries []Entry) ([]Entry, error) {
	if err := own.Check(given); err != nil {
		return nil, err
	}
	prepared := make([]Entry, len(entries))
	for i, e := range entries {
		if err := prepare(&e, own.Dimension); err != nil {
			return nil, err
		}
		prepared[i] = e
	}
	return prepared, nil
}

func prepare(e *Entry, dimension int) error {
	w := &e.Work
	if err := checkID(w.ID); err != nil {
		return invalid("id of work %q: %w", shorten(w.ID), err)
	}
	for _, text := range []struct{ name, value string }{{"title", w.Title}, {"artist", w.Artist}, {"link", w.Link}} {
		if err := checkText(text.value); err != nil {
			return invalid("%s of work %q: %w", text.name, w.ID, err)
		}
	}
	if w.Year < math.MinInt32 || w.Year > math.MaxInt32 {
		return invalid("year of work %q: %d is none", w.ID, w.Year)
	}
	metadata, err := w.Metadata.normal()
	if err != nil {
		return invalid("metadata of work %q: %w", w.ID, err)
	}
	w.Metadata = metadata

	for i := range e.Photos {
		p := &e.Photos[i]
		if err := checkID(p.ID); err != nil {
			return invalid("id of photo %q of work %q: %w", shorten(p.ID), w.ID, err)
		}
		for _, text := range []struct{ name, value string }{{"hash", p.Hash}, {"source", p.Source}} {
			if err := checkText(text.value); err != nil {
				return invalid("%s of photo %q of work %q: %w", text.name, p.ID, w.ID, err)
			}
		}
		if len(p.Crop) > MaxCropBytes {
			return invalid("crop of photo %q of work %q: %d bytes, at most %d are kept", p.ID, w.ID, len(p.Crop), MaxCropBytes)
		}
		if err := CheckVector(p.Vector, dimension); err != nil {
			return &Error{Kind: KindOf(err), Err: fmt.Errorf("photo %q of work %q: %w", p.ID, w.ID, err)}
		}
	}
	return nil
}

// CheckVector returns an *Error if v is not of this dimension, or has no
// direction: all zeros, or a value that is infinite or not a number.
func CheckVector(v []float32, dimension int) error {
	if len(v) != dimension {
		return &Error{Kind: WrongDimension, Err: fmt.Errorf("a vector of %d values, the index holds those of %d", len(v), dimension)}
	}
	zero := true
	for i, x := range v {
		if x-x != 0 { // only of NaN and the infinities
			return &Error{Kind: BadVector, Err: fmt.Errorf("value %d of the vector is %v", i, x)}
		}
		zero = zero && x == 0
	}
	if zero {
		return &Error{Kind: BadVector, Err: fmt.Errorf("all %d values of the vector are zero", len(v))}
	}
	return nil
}

func checkID(id string) error {
	switch {
	case id == "":
		return fmt.Errorf("is empty")
	case len(id) > MaxIDBytes:
		return fmt.Errorf("is longer than %d bytes", MaxIDBytes)
	case !utf8.ValidString(id):
		return fmt.Errorf("is not UTF-8")
	case strings.ContainsFunc(id, unicode.IsControl):
		return fmt.Errorf("holds control characters")
	}
	return nil
}

func checkText(s string) error {
	switch {
	case len(s) > MaxTextBytes:
		return fmt.Errorf("is longer than %d bytes", MaxTextBytes)
	case !utf8.ValidString(s):
		return fmt.Errorf("is not UTF-8")
	case strings.ContainsRune(s, 0):
		return fmt.Errorf("holds a NUL") // PostgreSQL keeps none
	}
	return nil
}

// normal is m by way of JSON; nil if it is empty.
func (m Metadata) normal() (Metadata, error) {
	if len(m) == 0 {
		return nil, nil
	}
	encoded, err := json.Marshal(m)
	switch {
	case err != nil:
		return nil, err
	case len(encoded) > MaxMetadataBytes:
		return nil, fmt.Errorf("takes %d bytes as JSON, at most %d are kept", len(encoded), MaxMetadataBytes)
	case bytes.Contains(encoded, []byte(`\u0000`)):
		return nil, fmt.Errorf("holds a NUL")
	}
	var n Metadata
	if err := n.UnmarshalJSON(encoded); err != nil {
		return nil, err
	}
	return n, nil
}

func shorten(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
