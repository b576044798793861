package exchange

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/lexicam/lexicrop/index"
)

// table reads CSV.
func (i *importer) table(ctx context.Context, r io.Reader) error {
	bounded := &rowReader{reader: r, max: i.options.MaxLineBytes}
	bounded.begin()
	buffered := bufio.NewReaderSize(bounded, tableBuffer)
	if mark, err := buffered.Peek(3); err == nil && string(mark) == "\ufeff" {
		_, _ = buffered.Discard(len(mark)) // they were read
	}
	rows := csv.NewReader(buffered)
	rows.Comma = separator(buffered)
	rows.FieldsPerRecord = -1 // counted here, so that a bad row ends nothing
	columns, err := rows.Read()
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return invalid(fmt.Errorf("the first row must name the columns: %w", err))
	}
	columns = slices.Clone(columns)
	if err := checkColumns(columns); err != nil {
		return invalid(err)
	}
	for {
		bounded.begin()
		before := rows.InputOffset()
		row, err := rows.Read()
		number, _ := 0, 0
		if err == nil {
			number, _ = rows.FieldPos(0)
		}
		malformed, isMalformed := errors.AsType[*csv.ParseError](err)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case isMalformed:
			i.report.Lines++
			i.fail(malformed.StartLine, "", malformed)
			continue
		case errors.Is(err, errTooLong):
			return invalid(err)
		case err != nil:
			return fmt.Errorf("reading the table: %w", err)
		}
		i.report.Lines++
		w, err := workOfRow(columns, row)
		if err != nil {
			i.fail(number, w.ID, err)
			continue
		}
		if err := i.add(ctx, number, index.Entry{Work: w}, int(rows.InputOffset()-before)); err != nil {
			return err
		}
	}
}

// tableBuffer is read ahead of the rows.
const tableBuffer = 64 << 10

// rowReader fails where a row takes more bytes than it may: an open quote would swallow all the rest.
type rowReader struct {
	reader io.Reader
	max    int
	left   int
}

// begin starts a row.
func (r *rowReader) begin() { r.left = r.max + tableBuffer }

func (r *rowReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errTooLong
	}
	n, err := r.reader.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}

// separator is the one that stands most often in the first row.
func separator(r *bufio.Reader) rune {
	start, _ := r.Peek(4 << 10) // as much of it as there is
	first, _, _ := bytes.Cut(start, []byte("\n"))
	best := ','
	for _, c := range []rune{';', '\t'} {
		if bytes.Count(first, []byte(string(c))) > bytes.Count(first, []byte(string(best))) {
			best = c
		}
	}
	return best
}

func checkColumns(columns []string) error {
	for i, name := range columns {
		name = strings.TrimSpace(name)
		if isKnown := slices.Contains(known, strings.ToLower(name)); isKnown {
			name = strings.ToLower(name)
		}
		name = strings.TrimPrefix(name, "metadata.")
		if name == "" {
			return fmt.Errorf("column %d has no name", i+1)
		}
		if slices.Contains(columns[:i], name) {
			return fmt.Errorf("two columns are called %s", name)
		}
		columns[i] = name
	}
	if !slices.Contains(columns, "id") {
		return fmt.Errorf("there is no column id; the columns are %s", strings.Join(columns, ", "))
	}
	if slices.Contains(columns, "file") {
		return errors.New("there is a column file: pictures cannot come in a table, `lexicrop index add` reads files")
	}
	return nil
}

// known are the columns that are no metadata.
var known = []string{"id", "title", "artist", "year", "link", "file"}

func workOfRow(columns, row []string) (index.Work, error) {
	var w index.Work
	for i, value := range row {
		value = strings.TrimSpace(value)
		if value == "" {
			continue
		}
		if i >= len(columns) {
			return w, fmt.Errorf("the row has %d columns, the first has %d", len(row), len(columns))
		}
		switch columns[i] {
		case "id":
			w.ID = value
		case "title":
			w.Title = value
		case "artist":
			w.Artist = value
		case "link":
			w.Link = value
		case "year":
			year, err := strconv.Atoi(value)
			if err != nil {
				return w, fmt.Errorf("the year %q is no whole number", value)
			}
			w.Year = year
		default:
			if w.Metadata == nil {
				w.Metadata = index.Metadata{}
			}
			w.Metadata[columns[i]] = value
		}
	}
	return w, nil
}
