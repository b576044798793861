// Package ingest adds many pictures to a catalogue at once: it reads folders
// and tables, embeds on all cores, and goes on where it was interrupted.
package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lexicam/lexicrop/index"
)

// Record is a picture to add to the catalogue, or a work without one.
type Record struct {
	Work index.Work
	// FromName says that the work's id was made from the name of the file.
	FromName bool
	// KeepWork says that nothing is stated about the work but its id: what else
	// Work has is a guess, good for a work that is not there yet.
	KeepWork bool
	// File is the picture's path, empty where there is none.
	File string
	// Photo is the id of the photo, Source what people are told of its origin:
	// the path as the catalogue's source has it.
	Photo, Source string
	// Where the record stands, for people: a path, or a line of a file.
	Where string

	// Stored, in place of File, is a photo of another catalogue: see Rebuild.
	Stored *index.Photo
}

// isGuess says that all that is known of the work is how its file is called.
// Then nobody has said that it is another work than one of the same picture.
func (r *Record) isGuess() bool { return r.FromName && r.KeepWork }

// errNothing is of a record that neither names a work nor a picture.
var errNothing = errors.New("neither id nor file is given")

// fields are what a source says of one record, by lower-case name. Values are
// those of encoding/json with numbers as json.Number.
type fields map[string]any

// record reads the fields. Names that it does not know become metadata, so no
// knowledge is lost. file is the picture where the fields do not say it.
func (f fields) record(file string) (Record, error) {
	var r Record
	var errs []error
	text := func(name string) string {
		s, err := textOf(f[name])
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
		return s
	}
	r.Work = index.Work{ID: text("id"), Title: text("title"), Artist: text("artist"), Link: text("link")}
	r.Photo, r.File = text("photo"), text("file")
	if r.File == "" {
		r.File = file
	}
	var err error
	if r.Work.Year, err = yearOf(text("year")); err != nil {
		errs = append(errs, err)
	}
	if r.Work.Metadata, err = f.metadata(); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return Record{}, err
	}
	if r.Work.ID == "" && r.File == "" {
		return Record{}, errNothing
	}
	w := r.Work
	r.KeepWork = r.File != "" && w.Title == "" && w.Artist == "" && w.Year == 0 && w.Link == "" && w.Metadata == nil
	return r, nil
}

// known are the names that are no metadata.
var known = []string{"id", "title", "artist", "year", "link", "file", "photo", "photos", "metadata"}

func (f fields) metadata() (index.Metadata, error) {
	m := index.Metadata{}
	switch given := f["metadata"].(type) {
	case nil:
	case map[string]any:
		maps.Copy(m, given)
	default:
		return nil, errors.New("metadata: it must be an object")
	}
	for name, value := range f {
		if !slices.Contains(known, name) && value != nil && value != "" {
			m[strings.TrimPrefix(name, "metadata.")] = value
		}
	}
	if len(m) == 0 {
		return nil, nil
	}
	return m, nil
}

// textOf takes a number as well: ids are often numbers.
func textOf(value any) (string, error) {
	var text string
	switch value := value.(type) {
	case nil:
	case string:
		text = value
	case json.Number:
		text = value.String()
	default:
		return "", errors.New("it must be a text")
	}
	if !utf8.ValidString(text) {
		return "", errors.New("it is not UTF-8")
	}
	return strings.TrimSpace(text), nil
}

func yearOf(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	year, err := strconv.Atoi(text)
	if err != nil || year < math.MinInt32 || year > math.MaxInt32 {
		return 0, fmt.Errorf("year %q: it must be a whole number (another date can stand under another name)", text)
	}
	return year, nil
}
