// Package exact searches vectors in memory and misses none: it compares the
// query with every vector in 8 bits, and computes in full only what may be
// among the best by a bound on the error of those 8 bits (see quantise.go).
package exact

import (
	"iter"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lexicam/lexicrop/index"
)

// Set holds works and the vectors of their photos. Searches and changes never
// wait for each other: a change copies what it touches and publishes the whole
// by one pointer, and a search keeps to what was published when it began.
type Set struct {
	dimension int
	current   atomic.Pointer[snapshot]

	writing  sync.Mutex       // held from Begin to Publish
	ordinals map[string]int32 // of the works by id
	free     []int32          // ordinals without a work
}

// snapshot is what a search sees. Nothing in it changes once it is published.
type snapshot struct {
	blocks []*block // all full but the last
	rows   int      // of all blocks; as many as photos
	chunks []*chunk // works by ordinal
	works  int      // not nil in chunks
}

// chunk is a run of works, nil where an ordinal has none.
type chunk [chunkWorks]*work

const chunkWorks = 64

type work struct {
	index.Work
	photos []*photo // by ascending id
}

type photo struct {
	id, hash, source string
	vector           []float32
	norm             float64 // length of vector
	row              int     // for changes only: searches must not read it
}

// New returns an empty set of vectors of so many values.
func New(dimension int) *Set {
	s := &Set{dimension: dimension, ordinals: map[string]int32{}}
	s.current.Store(&snapshot{})
	return s
}

// Snapshot is the set at one moment.
type Snapshot struct{ s *snapshot }

// Snapshot returns the set as it is now.
func (s *Set) Snapshot() Snapshot { return Snapshot{s.current.Load()} }

// Counts counts works and photos.
func (s Snapshot) Counts() index.Counts { return index.Counts{Works: s.s.works, Photos: s.s.rows} }

// Works calls yield for every work that filter chooses, in no particular order,
// with the number of its photos.
func (s Snapshot) Works(filter index.Filter) iter.Seq2[*index.Work, int] {
	return func(yield func(*index.Work, int) bool) {
		for _, c := range s.s.chunks {
			for _, w := range c {
				if w != nil && filter.Match(&w.Work) && !yield(&w.Work, len(w.photos)) {
					return
				}
			}
		}
	}
}

// Photos calls yield for every photo, in no particular order, with its vector.
func (s Snapshot) Photos() iter.Seq2[index.PhotoRef, []float32] {
	return func(yield func(index.PhotoRef, []float32) bool) {
		for _, c := range s.s.chunks {
			for _, w := range c {
				if w == nil {
					continue
				}
				for _, p := range w.photos {
					if !yield(index.PhotoRef{Work: w.ID, Photo: p.id}, p.vector) {
						return
					}
				}
			}
		}
	}
}

// Change is a number of changes that become visible together.
type Change struct {
	set  *Set
	next snapshot
	// What of next was copied and may be written, by position.
	ownBlocks, ownChunks map[int]bool
	ownWorks             map[int32]bool
}

// Begin starts a change; others wait until its Publish.
func (s *Set) Begin() *Change {
	s.writing.Lock()
	next := *s.current.Load()
	next.blocks = slices.Clone(next.blocks)
	next.chunks = slices.Clone(next.chunks)
	return &Change{set: s, next: next, ownBlocks: map[int]bool{}, ownChunks: map[int]bool{}, ownWorks: map[int32]bool{}}
}

// Publish makes the change visible. It must not be used any more.
func (c *Change) Publish() {
	c.set.current.Store(&c.next)
	c.set.writing.Unlock()
}

// PutWork adds a work or replaces what is known of it; its photos stay.
func (c *Change) PutWork(w index.Work) {
	ordinal, ok := c.set.ordinals[w.ID]
	if !ok {
		ordinal = c.newOrdinal()
		c.set.ordinals[w.ID] = ordinal
		c.next.works++
	}
	c.work(ordinal).Work = w
}

// PutPhoto adds a photo to a work that is there, or replaces it. The set keeps
// p.Vector, which must not change any more.
func (c *Change) PutPhoto(workID string, p *index.Photo) {
	ordinal := c.set.ordinals[workID]
	w := c.work(ordinal)
	added := &photo{id: p.ID, hash: p.Hash, source: p.Source, vector: p.Vector, norm: norm(p.Vector)}
	at, ok := w.find(p.ID)
	if ok {
		added.row = w.photos[at].row
		w.photos[at] = added
	} else {
		added.row = c.next.rows
		c.next.rows++
		w.photos = slices.Insert(w.photos, at, added)
	}
	b, i := c.block(added.row)
	b.set(i, ordinal, added)
}

// DeletePhoto removes a photo that is there.
func (c *Change) DeletePhoto(workID, photoID string) {
	w := c.work(c.set.ordinals[workID])
	at, ok := w.find(photoID)
	if !ok {
		return
	}
	row := w.photos[at].row
	w.photos = slices.Delete(w.photos, at, at+1)
	c.deleteRow(row)
}

// DeleteWork removes a work that is there, and its photos.
func (c *Change) DeleteWork(workID string) {
	ordinal, ok := c.set.ordinals[workID]
	if !ok {
		return
	}
	for _, p := range c.work(ordinal).photos {
		c.deleteRow(p.row)
	}
	c.chunk(ordinal)[ordinal%chunkWorks] = nil
	delete(c.ownWorks, ordinal)
	delete(c.set.ordinals, workID)
	c.set.free = append(c.set.free, ordinal)
	c.next.works--
}

func (w *work) find(photoID string) (int, bool) {
	return slices.BinarySearchFunc(w.photos, photoID, func(p *photo, id string) int {
		switch {
		case p.id < id:
			return -1
		case p.id > id:
			return 1
		}
		return 0
	})
}

func (c *Change) newOrdinal() int32 {
	if n := len(c.set.free); n > 0 {
		ordinal := c.set.free[n-1]
		c.set.free = c.set.free[:n-1]
		return ordinal
	}
	// Without free ones, the ordinals in use are those below the number of works.
	ordinal := int32(len(c.set.ordinals))
	if int(ordinal)/chunkWorks == len(c.next.chunks) {
		c.ownChunks[len(c.next.chunks)] = true
		c.next.chunks = append(c.next.chunks, &chunk{})
	}
	return ordinal
}

// deleteRow fills the gap with the last row.
func (c *Change) deleteRow(row int) {
	c.next.rows--
	last := c.next.rows
	from, i := c.block(last)
	if row != last {
		to, j := c.block(row)
		to.copyRow(j, from, i)
		to.photos[j].row = row
	}
	from.photos[i] = nil
	if i == 0 {
		c.next.blocks = c.next.blocks[:last/blockRows]
		delete(c.ownBlocks, last/blockRows)
	}
}

// block returns the block with this row, to write, and the row's place in it.
func (c *Change) block(row int) (*block, int) {
	at := row / blockRows
	switch {
	case at == len(c.next.blocks):
		c.next.blocks = append(c.next.blocks, newBlock(c.set.dimension))
	case !c.ownBlocks[at]:
		c.next.blocks[at] = c.next.blocks[at].clone()
	}
	c.ownBlocks[at] = true
	return c.next.blocks[at], row % blockRows
}

// chunk returns the chunk with this ordinal, to write.
func (c *Change) chunk(ordinal int32) *chunk {
	at := int(ordinal) / chunkWorks
	if !c.ownChunks[at] {
		copied := *c.next.chunks[at]
		c.next.chunks[at] = &copied
		c.ownChunks[at] = true
	}
	return c.next.chunks[at]
}

// work returns the work of this ordinal, to write.
func (c *Change) work(ordinal int32) *work {
	slot := &c.chunk(ordinal)[ordinal%chunkWorks]
	if !c.ownWorks[ordinal] {
		copied := &work{}
		if *slot != nil {
			copied.Work, copied.photos = (*slot).Work, slices.Clone((*slot).photos)
		}
		*slot = copied
		c.ownWorks[ordinal] = true
	}
	return *slot
}

func (s *snapshot) work(ordinal int32) *work {
	return s.chunks[ordinal/chunkWorks][ordinal%chunkWorks]
}
