// Package exchange writes a catalogue as lines of JSON, and reads such lines, and tables, into one.
//
// The first line of an export names the vector space:
//
//	{"lexicrop_catalogue":1,"space":{"name":"…","fingerprint":"…","dimension":512}}
//
// Every other line is a work with its photos:
//
//	{"id":"…","title":"…","artist":"…","year":1872,"link":"…","metadata":{…},
//	 "photos":[{"id":"…","hash":"…","source":"…","vector":[…],"crop":"<base64 of a JPEG>"}]}
//
// What is empty is left out. Vectors are written so that every bit comes back. Import also takes photos
// with "image", the base64 of a picture file, in place of "vector".
package exchange

import (
	"encoding/json"
	"fmt"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/service/strictjson"
)

// header is the first line. Whoever imports it must have an index of the same space.
type header struct {
	Version int   `json:"lexicrop_catalogue"`
	Space   space `json:"space"`
}

// version is that of the form of the lines.
const version = 1

type space struct {
	Name        string `json:"name"`
	Fingerprint string `json:"fingerprint"`
	Dimension   int    `json:"dimension"`
}

// work is a line.
type work struct {
	ID       string         `json:"id"`
	Title    string         `json:"title,omitempty"`
	Artist   string         `json:"artist,omitempty"`
	Year     int            `json:"year,omitempty"`
	Link     string         `json:"link,omitempty"`
	Metadata index.Metadata `json:"metadata,omitempty"`
	Photos   []photo        `json:"photos,omitempty"`
}

type photo struct {
	ID     string    `json:"id"`
	Hash   string    `json:"hash,omitempty"`
	Source string    `json:"source,omitempty"`
	Vector []float32 `json:"vector,omitempty"`
	Crop   []byte    `json:"crop,omitempty"`
	Image  []byte    `json:"image,omitempty"` // only read
}

func lineOf(e index.Entry) work {
	w := work{ID: e.Work.ID, Title: e.Work.Title, Artist: e.Work.Artist, Year: e.Work.Year, Link: e.Work.Link, Metadata: e.Work.Metadata}
	for _, p := range e.Photos {
		w.Photos = append(w.Photos, photo{ID: p.ID, Hash: p.Hash, Source: p.Source, Vector: p.Vector, Crop: p.Crop})
	}
	return w
}

// entry is the work of a line, without its photos. A line that says nothing of a work but its id adds
// photos to what is known.
func (w *work) entry() index.Entry {
	return index.Entry{
		Work:     index.Work{ID: w.ID, Title: w.Title, Artist: w.Artist, Year: w.Year, Link: w.Link, Metadata: w.Metadata},
		KeepWork: len(w.Photos) > 0 && w.Title == "" && w.Artist == "" && w.Year == 0 && w.Link == "" && w.Metadata == nil,
	}
}

// parseHeader tells whether the line is a header, and reads it.
func parseHeader(line []byte) (h header, isHeader bool, err error) {
	var probe struct {
		Version json.RawMessage `json:"lexicrop_catalogue"`
	}
	// What is no JSON is no header: it is told when it is read as a work.
	if _ = json.Unmarshal(line, &probe); probe.Version == nil {
		return header{}, false, nil
	}
	if err := strictjson.Object(line, &h); err != nil {
		return header{}, true, err
	}
	if h.Version != version {
		return header{}, true, fmt.Errorf("the lines have the form %d, only %d is understood", h.Version, version)
	}
	return h, true, nil
}
