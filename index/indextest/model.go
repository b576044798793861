package indextest

import (
	"encoding/json"
	"maps"
	"math"
	"slices"

	"github.com/lexicam/lexicrop/index"
)

// model is a catalogue in the plainest way.
type model map[string]*modelWork

type modelWork struct {
	index.Work
	photos map[string]index.Photo
}

func (m model) upsert(e index.Entry) {
	w, ok := m[e.Work.ID]
	if !ok {
		w = &modelWork{photos: map[string]index.Photo{}}
		m[e.Work.ID] = w
	}
	if !ok || !e.KeepWork {
		w.Work = e.Work
		w.Metadata = asRead(e.Work.Metadata)
	}
	for _, p := range e.Photos {
		maps.DeleteFunc(w.photos, func(_ string, other index.Photo) bool { return p.Hash != "" && other.Hash == p.Hash })
		w.photos[p.ID] = p
	}
}

// asRead is metadata after a store kept it.
func asRead(m index.Metadata) index.Metadata {
	if len(m) == 0 {
		return nil
	}
	text, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	var read index.Metadata
	if err := json.Unmarshal(text, &read); err != nil {
		panic(err)
	}
	return read
}

func (m model) entry(id string, crops bool) index.Entry {
	w := m[id]
	e := index.Entry{Work: w.Work}
	for _, photo := range slices.Sorted(maps.Keys(w.photos)) {
		p := w.photos[photo]
		if !crops {
			p.Crop = nil
		}
		e.Photos = append(e.Photos, p)
	}
	return e
}

// chosen returns the ids of the works that filter chooses, in order.
func (m model) chosen(filter index.Filter) []string {
	var ids []string
	for _, id := range slices.Sorted(maps.Keys(m)) {
		if filter.Match(&m[id].Work) {
			ids = append(ids, id)
		}
	}
	return ids
}

func (m model) counts(filter index.Filter) index.Counts {
	var n index.Counts
	for _, id := range m.chosen(filter) {
		n.Works++
		n.Photos += len(m[id].photos)
	}
	return n
}

// similarity is that of the best photo of a work, -2 if it has none.
func (m model) similarity(id string, vector []float32) float64 {
	best := -2.0
	for _, p := range m[id].photos {
		best = max(best, cosine(p.Vector, vector))
	}
	return best
}

func cosine(a, b []float32) float64 {
	var ab, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	return ab / math.Sqrt(aa*bb)
}
