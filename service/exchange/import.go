package exchange

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/service/strictjson"
)

// Format is what an import comes in.
type Format string

// The formats.
const (
	// NDJSON is a work a line, see the package.
	NDJSON Format = "ndjson"
	// CSV is a table of works without photos. Its first row names the columns: id, title, artist, year,
	// link; all others are metadata, as texts, where they are not empty.
	CSV Format = "csv"
)

// ImportOptions say how to read.
type ImportOptions struct {
	Format Format
	// MaxLineBytes bounds a line, or a row of a table.
	MaxLineBytes int
	// LineTimeout bounds the work on one line; 0 means no bound.
	LineTimeout time.Duration
	// Progress, unless nil, is told after every change of the catalogue what was done.
	Progress func(Report)
}

// Report is what became of an import.
type Report struct {
	// Lines were read, those that are blank or a header left out. Works and Photos were added or
	// replaced and will last; Failed lines were not.
	Lines, Works, Photos, Failed int
	// Errors are the first MaxErrors failures.
	Errors []LineError
}

// LineError is why a line was not taken.
type LineError struct {
	Line int    // counted from 1, blank ones too
	Work string // the id, empty where it is not known
	Err  *service.Error
}

// MaxErrors bounds Report.Errors.
const MaxErrors = 1000

// Import reads works from r into the catalogue of svc. A line that is wrong is noted and stops nothing.
// The error is about what stops an import: a body that ends, a catalogue that is gone, vectors of another
// space. What the report counts until then lasts, and repeating the import is right.
func Import(ctx context.Context, svc *service.Service, r io.Reader, o ImportOptions) (*Report, error) {
	store, err := svc.Catalogue()
	if err != nil {
		return &Report{}, err
	}
	info, err := store.Info(ctx)
	if err != nil {
		return &Report{}, service.AsError(err)
	}
	i := &importer{service: svc, store: store, space: info.Space, options: o, report: &Report{}}
	switch o.Format {
	case NDJSON:
		err = i.lines(ctx, r)
	case CSV:
		err = i.table(ctx, r)
	default:
		err = fmt.Errorf("no format %q", o.Format)
	}
	if err == nil {
		err = i.flush(ctx)
	}
	slices.SortStableFunc(i.report.Errors, func(a, b LineError) int { return cmp.Compare(a.Line, b.Line) })
	if err != nil {
		return i.report, service.AsError(err)
	}
	return i.report, nil
}

type importer struct {
	service *service.Service
	store   index.Store
	space   index.Space
	options ImportOptions
	report  *Report
	// declared says that a header has named the space of the vectors.
	declared bool
	batch    []item
	bytes    int
}

// item is an entry that waits for its change of the catalogue.
type item struct {
	line  int
	entry index.Entry
}

// A change of the catalogue takes so many entries at most: each waits for the disk once.
const (
	batchEntries = 256
	batchBytes   = 4 << 20
)

// lines reads NDJSON.
func (i *importer) lines(ctx context.Context, r io.Reader) error {
	reader := newLineReader(r, i.options.MaxLineBytes)
	first := true
	for {
		line, number, err := reader.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, errTooLong):
			i.report.Lines++
			i.fail(number, "", err)
			continue
		case err != nil:
			return fmt.Errorf("reading line %d: %w", number, err)
		}
		if first {
			first = false
			h, isHeader, err := parseHeader(line)
			if err != nil {
				return invalid(err)
			}
			if isHeader {
				if err := i.space.Check(index.Space(h.Space)); err != nil {
					return err
				}
				i.declared = true
				continue
			}
		}
		if err := i.take(ctx, number, line, len(line)); err != nil {
			return err
		}
	}
}

// take reads one line. The error ends the import.
func (i *importer) take(ctx context.Context, number int, line []byte, size int) error {
	i.report.Lines++
	var w work
	if err := strictjson.Object(line, &w); err != nil {
		i.fail(number, "", err)
		return nil
	}
	e := w.entry()
	for _, p := range w.Photos {
		added, err := i.photo(ctx, p)
		if ends(ctx, err) {
			return err
		}
		if err != nil {
			i.fail(number, w.ID, fmt.Errorf("photo %q: %w", p.ID, err))
			return nil
		}
		e.Photos = append(e.Photos, added)
	}
	return i.add(ctx, number, e, size)
}

// photo makes a photo of what a line says of it.
func (i *importer) photo(ctx context.Context, p photo) (index.Photo, error) {
	switch {
	case len(p.Vector) > 0 && len(p.Image) > 0:
		return index.Photo{}, errors.New("it has a vector and an image: one of them can be given")
	case len(p.Image) > 0:
		return i.embed(ctx, p)
	case !i.declared:
		return index.Photo{}, errors.New("nothing says where its vector comes from: the first line must be a header with the space")
	}
	return index.Photo{ID: p.ID, Hash: p.Hash, Source: p.Source, Vector: p.Vector, Crop: p.Crop}, nil
}

func (i *importer) embed(ctx context.Context, p photo) (index.Photo, error) {
	if i.options.LineTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, i.options.LineTimeout)
		defer cancel()
	}
	made, err := i.service.EmbedPhoto(ctx, p.ID, p.Image, service.PhotoOptions{Source: p.Source})
	if err != nil {
		return index.Photo{}, err
	}
	return made.Photo, i.space.Check(made.Embedding.Space)
}

// add puts an entry into the batch. The error ends the import.
func (i *importer) add(ctx context.Context, line int, e index.Entry, size int) error {
	i.batch = append(i.batch, item{line, e})
	i.bytes += size
	if len(i.batch) < batchEntries && i.bytes < batchBytes {
		return nil
	}
	return i.flush(ctx)
}

// flush makes one change of the batch, or where something in it is wrong, one of every entry. The error
// ends the import.
func (i *importer) flush(ctx context.Context) error {
	entries := make([]index.Entry, len(i.batch))
	for k, item := range i.batch {
		entries[k] = item.entry
	}
	if err := i.upsert(ctx, entries); ends(ctx, err) {
		return err
	} else if err != nil {
		for _, item := range i.batch {
			err := i.upsert(ctx, []index.Entry{item.entry})
			if ends(ctx, err) {
				return err
			}
			if err != nil {
				i.fail(item.line, item.entry.Work.ID, err)
			}
		}
	}
	i.batch, i.bytes = i.batch[:0], 0
	if i.options.Progress != nil {
		i.options.Progress(*i.report)
	}
	return nil
}

func (i *importer) upsert(ctx context.Context, entries []index.Entry) error {
	if err := i.store.Upsert(ctx, i.space, entries...); err != nil {
		return err
	}
	i.report.Works += len(entries)
	for _, e := range entries {
		i.report.Photos += len(e.Photos)
	}
	return nil
}

func (i *importer) fail(line int, id string, err error) {
	i.report.Failed++
	if len(i.report.Errors) == MaxErrors {
		return
	}
	failure := service.AsError(err)
	if failure.Code == service.CodeInternal {
		failure = invalid(err) // of this package: about the line
	}
	i.report.Errors = append(i.report.Errors, LineError{Line: line, Work: id, Err: failure})
}

func invalid(err error) *service.Error {
	return &service.Error{Code: service.CodeInvalid, Detail: err.Error(), Err: err}
}

// ends tells the errors after which no line can be taken.
func ends(ctx context.Context, err error) bool {
	if err == nil {
		return false
	}
	if ctx.Err() != nil {
		return true
	}
	switch code := service.AsError(err).Code; code {
	case service.CodeOtherSpace, service.CodeNotConfigured, service.CodeCatalogueGone:
		return true
	case service.CodeInternal:
		failure, ok := errors.AsType[*index.Error](err)
		return ok && failure.Kind == index.Internal
	default:
		return false
	}
}
