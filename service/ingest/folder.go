package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// folder is all pictures below a folder.
type folder struct {
	root string
	list Source // the table in it, nil without one
}

// lists are the names of a table in a folder.
var lists = []string{"works.csv", "works.tsv", "works.ndjson"}

func openFolder(root string) (*folder, error) {
	f := &folder{root: root}
	for _, name := range lists {
		path := filepath.Join(root, name)
		if _, err := os.Stat(path); err != nil {
			continue
		}
		if f.list != nil {
			return nil, fmt.Errorf("%s: there is more than one of %s", root, strings.Join(lists, ", "))
		}
		var err error
		if f.list, err = openList(path); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Records implements Source: first those of the table, then the pictures that
// it does not name, by path.
func (f *folder) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		named := map[string]bool{}
		if f.list != nil {
			for r, err := range f.list.Records() {
				if !yield(r, err) {
					return
				}
				named[filepath.Clean(r.File)] = true
			}
		}
		f.walk(func(path string, err error) bool {
			if err != nil {
				return yield(Record{Where: path}, err)
			}
			if named[filepath.Clean(path)] {
				return true
			}
			return yield(f.picture(path))
		})
	}
}

// walk calls take for every picture until it returns false. The root may be a
// symbolic link; links to folders inside it are not followed, for they could
// lead in circles.
func (f *folder) walk(take func(path string, err error) bool) {
	root := f.root + string(filepath.Separator)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		hidden := strings.HasPrefix(filepath.Base(path), ".") && path != root
		switch {
		case err != nil:
			if !take(path, err) {
				return fs.SkipAll
			}
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case hidden && entry.IsDir():
			return fs.SkipDir
		case hidden || entry.IsDir() || !isPicture(path):
			return nil
		case !take(path, nil):
			return fs.SkipAll
		}
		return nil
	})
	if err != nil {
		take(f.root, err)
	}
}

// extensions are those of the formats that preprocess takes.
var extensions = []string{
	".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".heic", ".heif", ".avif", ".gif", ".bmp", ".tif", ".tiff",
}

func isPicture(path string) bool {
	return slices.Contains(extensions, strings.ToLower(filepath.Ext(path)))
}

// picture makes a record of a picture and of the JSON file beside it.
func (f *folder) picture(path string) (Record, error) {
	name, err := filepath.Rel(f.root, path)
	if err != nil {
		return Record{Where: path}, err
	}
	about, err := sidecar(path)
	var r Record
	if err == nil {
		r, err = about.record(path)
	}
	if err != nil {
		return Record{Where: path}, err
	}
	r.Where, r.File, r.Source = path, path, filepath.ToSlash(name)
	if r.Photo == "" {
		r.Photo = r.Source
	}
	r.fromName(r.Source)
	return r, nil
}

// sidecar reads the fields beside a picture; none where there is no such file.
func sidecar(picture string) (fields, error) {
	for _, path := range []string{picture + ".json", strings.TrimSuffix(picture, filepath.Ext(picture)) + ".json"} {
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		f, err := parseFields(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
		}
		return f, nil
	}
	return nil, nil
}

// parseFields reads one JSON object.
func parseFields(text []byte) (fields, error) {
	d := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(text, byteOrderMark)))
	d.UseNumber()
	var f fields
	if err := d.Decode(&f); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, errors.New("there is more than one JSON value")
	}
	lower := make(fields, len(f))
	for name, value := range f {
		lower[strings.ToLower(name)] = value
	}
	return lower, nil
}

// byteOrderMark is what some programs begin a UTF-8 file with.
var byteOrderMark = []byte("\xef\xbb\xbf")
