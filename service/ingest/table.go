package ingest

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
)

// table is a file of separated values.
type table struct {
	path    string
	comma   rune
	columns []string
}

// openTable reads the first row: what is wrong with it concerns all others.
func openTable(path string) (*table, error) {
	t := &table{path: path}
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	start := bufio.NewReader(file)
	first, err := start.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	t.comma = separator(first)
	header, err := t.reader(strings.NewReader(first)).Read()
	if err != nil {
		return nil, fmt.Errorf("%s: its first row must name the columns: %w", path, err)
	}
	for i, name := range header {
		name = strings.ToLower(strings.TrimSpace(name))
		if name != "" && slices.Contains(t.columns, name) {
			return nil, fmt.Errorf("%s: column %d: there is another one called %s", path, i+1, name)
		}
		t.columns = append(t.columns, name)
	}
	if !slices.Contains(t.columns, "file") && !slices.Contains(t.columns, "id") {
		return nil, fmt.Errorf("%s: there is neither a column file nor a column id; its columns are %s", path, strings.Join(t.columns, ", "))
	}
	return t, nil
}

// separator is the one that stands most often in the first row.
func separator(first string) rune {
	best := ','
	for _, c := range []rune{';', '\t'} {
		if strings.Count(first, string(c)) > strings.Count(first, string(best)) {
			best = c
		}
	}
	return best
}

func (t *table) reader(from io.Reader) *csv.Reader {
	buffered := bufio.NewReader(from)
	if start, err := buffered.Peek(len(byteOrderMark)); err == nil && bytes.Equal(start, byteOrderMark) {
		_, _ = buffered.Discard(len(byteOrderMark)) // they were read
	}
	r := csv.NewReader(buffered)
	r.Comma = t.comma
	r.FieldsPerRecord = -1 // counted here, so that a bad row ends nothing
	r.ReuseRecord = true
	return r
}

// Records implements Source.
func (t *table) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		file, err := os.Open(t.path)
		if err != nil {
			yield(Record{Where: t.path}, err)
			return
		}
		defer file.Close()
		rows := t.reader(file)
		if _, err := rows.Read(); err != nil { // the columns
			yield(Record{Where: t.path}, err)
			return
		}
		for {
			r, bad, err := t.next(rows)
			if errors.Is(err, io.EOF) || !yield(r, cmp.Or(err, bad)) || err != nil {
				return
			}
		}
	}
}

// next reads a row; bad is about that row alone, err about the file.
func (t *table) next(rows *csv.Reader) (r Record, bad, err error) {
	row, err := rows.Read()
	if parse, ok := errors.AsType[*csv.ParseError](err); ok {
		return Record{Where: fmt.Sprintf("%s:%d", t.path, parse.StartLine)}, parse.Err, nil
	}
	if err != nil {
		return Record{Where: t.path}, nil, err
	}
	line, _ := rows.FieldPos(0)
	r, bad = t.record(row)
	r.Where = fmt.Sprintf("%s:%d", t.path, line)
	return r, bad, nil
}

func (t *table) record(row []string) (Record, error) {
	if len(row) != len(t.columns) {
		return Record{}, fmt.Errorf("%d values for %d columns", len(row), len(t.columns))
	}
	f := make(fields, len(row))
	for i, value := range row {
		if t.columns[i] != "" {
			f[t.columns[i]] = strings.Clone(strings.TrimSpace(value))
		}
	}
	r, err := f.record("")
	if err != nil {
		return Record{}, err
	}
	r.locate(t.path)
	return r, nil
}
