package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
)

// lines is a file of JSON objects, one a line.
type lines struct{ path string }

// Records implements Source.
func (l *lines) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		file, err := os.Open(l.path)
		if err != nil {
			yield(Record{Where: l.path}, err)
			return
		}
		defer file.Close()
		reader := bufio.NewReader(file)
		for number := 1; err == nil; number++ {
			var line []byte
			line, err = reader.ReadBytes('\n')
			where := fmt.Sprintf("%s:%d", l.path, number)
			if err != nil && !errors.Is(err, io.EOF) {
				yield(Record{Where: where}, err)
				return
			}
			if len(bytes.TrimSpace(line)) == 0 {
				continue
			}
			records, bad := l.work(line)
			if bad != nil {
				records = []Record{{}}
			}
			for _, r := range records {
				r.Where = where
				if !yield(r, bad) {
					return
				}
			}
		}
	}
}

// work makes a record a photo.
func (l *lines) work(line []byte) ([]Record, error) {
	f, err := parseFields(line)
	if err != nil {
		return nil, err
	}
	photos, err := f.photos()
	if err != nil {
		return nil, err
	}
	if len(photos) == 0 {
		photos = []fields{{}}
	} else if f["file"] != nil {
		return nil, errors.New("file and photos: only one of them can be given")
	}
	var records []Record
	for _, photo := range photos {
		file, err := textOf(photo["file"])
		if err != nil {
			return nil, fmt.Errorf("file of a photo: %w", err)
		}
		r, err := f.record(file)
		if err != nil {
			return nil, err
		}
		if id, err := textOf(photo["id"]); err != nil {
			return nil, fmt.Errorf("id of a photo: %w", err)
		} else if id != "" {
			r.Photo = id
		}
		r.locate(l.path)
		records = append(records, r)
	}
	return records, nil
}

// photos are the elements of the list of that name, a file's name standing for
// an object that has only that.
func (f fields) photos() ([]fields, error) {
	if f["photos"] == nil {
		return nil, nil
	}
	list, ok := f["photos"].([]any)
	if !ok {
		return nil, errors.New("photos: it must be a list")
	}
	var photos []fields
	for i, element := range list {
		switch element := element.(type) {
		case string:
			photos = append(photos, fields{"file": element})
		case map[string]any:
			photos = append(photos, element)
		default:
			return nil, fmt.Errorf("photos: element %d must be a file's name or an object", i+1)
		}
	}
	if len(photos) > 1 && f["id"] == nil {
		return nil, errors.New("photos: a work of several needs an id")
	}
	return photos, nil
}
