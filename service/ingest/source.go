package ingest

import (
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
)

// Source is where records come from. It may be read several times.
type Source interface {
	// Records reads all of them, in order. An error is about the record, which
	// then has only Where; the sequence goes on after it where it can.
	Records() iter.Seq2[Record, error]
}

// Open returns the source at path, told by what it is and how it is called:
//
// A folder: every picture in it and in its folders is a work, unless it is told
// otherwise (see below). What begins with a dot is passed over.
//
// A table (.csv, .tsv; separated by comma, semicolon or tab): a row is a
// picture of a work. Its first row names the columns: file (relative to the
// table), id, title, artist, year, link, photo; all others are metadata. Either
// file or id must be there.
//
// Lines of JSON (.ndjson, .jsonl): an object is a work, with the same names,
// "metadata" as an object and "photos" as a list of files or of objects with
// file and id.
//
// A folder may hold such a table, called works.csv, works.tsv or works.ndjson;
// its pictures that the table does not name are added as well. A picture NAME.jpg
// may have its fields in NAME.json or NAME.jpg.json.
func Open(path string) (Source, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return openFolder(path)
	}
	source, err := openList(path)
	if source == nil && err == nil {
		err = fmt.Errorf("%s: a folder, a table (.csv, .tsv) or lines of JSON (.ndjson, .jsonl) can be added", path)
	}
	return source, err
}

// Join is several sources as one, in their order.
func Join(sources ...Source) Source { return joined(sources) }

type joined []Source

func (j joined) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for _, source := range j {
			for r, err := range source.Records() {
				if !yield(r, err) {
					return
				}
			}
		}
	}
}

// openList opens a table or lines of JSON; nil where path is neither.
func openList(path string) (Source, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".csv", ".tsv":
		return openTable(path)
	case ".ndjson", ".jsonl":
		return &lines{path: path}, nil
	}
	return nil, nil
}

// locate completes a record that was read from the list at path: file names
// are relative to it, and what is not said is made from them.
func (r *Record) locate(path string) {
	if r.File == "" {
		return
	}
	name := filepath.ToSlash(filepath.Clean(r.File))
	r.Source = name
	if r.Photo == "" {
		r.Photo = name
	}
	if !filepath.IsAbs(r.File) {
		r.File = filepath.Join(filepath.Dir(path), r.File)
	}
	r.fromName(name)
}

// fromName fills in what the name of the file tells where nothing else did.
// What a name tells is a guess, and replaces nothing that is known already.
func (r *Record) fromName(name string) {
	if r.Work.ID != "" {
		return
	}
	r.Work.ID, r.FromName = strings.TrimSuffix(name, filepath.Ext(name)), true
	if r.Work.ID == "" || strings.HasSuffix(r.Work.ID, "/") {
		r.Work.ID = name // ".jpg" is its whole name
	}
	if r.KeepWork {
		r.Work.Artist, r.Work.Title, r.Work.Year = readName(filepath.Base(name))
	}
}
