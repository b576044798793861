package weaviate

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/weaviate/weaviate-go-client/v5/weaviate/filters"
	"github.com/weaviate/weaviate/entities/models"

	"github.com/lexicam/lexicrop/index"
)

// Upsert implements index.Store.
func (s *Store) Upsert(ctx context.Context, space index.Space, entries ...index.Entry) error {
	entries, err := index.Prepare(s.space, space, entries)
	if err != nil {
		return err
	}
	return s.call(ctx, "upsert", func() error {
		ids := make([]string, len(entries))
		for i := range entries {
			ids[i] = entries[i].Work.ID
		}
		slices.Sort(ids)
		ids = slices.Compact(ids)
		defer s.lock(ids...)()
		changes, err := s.begin(ctx, ids)
		if err != nil {
			return err
		}
		for i := range entries {
			changes[entries[i].Work.ID].add(&entries[i])
		}
		return s.apply(ctx, changes)
	})
}

// change is what becomes of a work.
type change struct {
	work   *index.Work // nil if there is none
	damage error       // of the work that is there
	write  bool        // whether the work itself changes
	old    map[string]place
	hashes map[string]string // digests by photo, of all that will be there
	put    map[string]*index.Photo
}

// begin reads what there is of works.
func (s *Store) begin(ctx context.Context, works []string) (map[string]*change, error) {
	changes := make(map[string]*change, len(works))
	for _, id := range works {
		changes[id] = &change{old: map[string]place{}, hashes: map[string]string{}, put: map[string]*index.Photo{}}
	}
	objects, err := s.works(ctx, works...)
	if err != nil {
		return nil, err
	}
	for i := range objects {
		w, err := objects[i].work()
		c := changes[w.ID]
		c.work, c.damage = &w, err
	}
	places, err := s.placesOf(ctx, works)
	if err != nil {
		return nil, err
	}
	for id, c := range changes {
		for _, p := range places[id] {
			c.old[p.ref.Photo] = p
			if c.work != nil { // else they are remains of a deletion
				c.hashes[p.ref.Photo] = p.Hash
			}
		}
	}
	return changes, nil
}

func (c *change) add(e *index.Entry) {
	if c.work == nil || !e.KeepWork {
		c.work, c.damage, c.write = &e.Work, nil, true
	}
	for i := range e.Photos {
		p := &e.Photos[i]
		hash := ""
		if p.Hash != "" {
			hash = digestOf(p.Hash)
			maps.DeleteFunc(c.hashes, func(_, other string) bool { return other == hash })
		}
		c.hashes[p.ID], c.put[p.ID] = hash, p
	}
}

// apply makes changes.
func (s *Store) apply(ctx context.Context, changes map[string]*change) error {
	var w writes
	for _, id := range slices.Sorted(maps.Keys(changes)) {
		if err := w.add(ctx, s, changes[id]); err != nil {
			return fmt.Errorf("work %q: %w", id, err)
		}
	}
	return w.send(ctx, s)
}

// writes are what changes come to.
type writes struct {
	works, photos []*models.Object
	ids           []string // of the photos
	again         []string // those of them that are there already
	gone          []string // ids of photos to remove
}

func (w *writes) add(ctx context.Context, s *Store, c *change) error {
	if c.damage != nil {
		return c.damage
	}
	if c.write {
		o, err := s.client.workObject(c.work)
		if err != nil {
			return err
		}
		w.works = append(w.works, o)
	}
	objects, gone, err := s.photoChanges(ctx, c)
	if err != nil {
		return err
	}
	w.photos, w.gone = append(w.photos, objects...), append(w.gone, gone...)
	old := map[string]bool{}
	for _, p := range c.old {
		old[p.uuid] = true
	}
	for _, o := range objects {
		id := o.ID.String()
		w.ids = append(w.ids, id)
		if old[id] {
			w.again = append(w.again, id)
		}
	}
	return nil
}

// send writes works first, so that no photo is without its work, then what is
// new of the photos, and removes what goes.
func (w *writes) send(ctx context.Context, s *Store) error {
	if err := s.client.put(ctx, w.works); err != nil {
		return err
	}
	if len(w.photos) == 0 {
		return s.removeObjects(ctx, w.gone)
	}
	// A server that was killed may have left a photo that searches do not find,
	// and would not look at its vector if it were put again.
	found, err := s.findable(ctx, w.photos[0].Vector, w.again)
	if err != nil {
		return err
	}
	lost := slices.DeleteFunc(w.again, func(id string) bool { return found[id] })
	if err := s.removeObjects(ctx, lost); err != nil {
		return err
	}
	if err := s.client.put(ctx, w.photos); err != nil {
		return err
	}
	if err := s.client.settle(ctx, w.ids); err != nil {
		return err
	}
	return s.removeObjects(ctx, w.gone)
}

// photoChanges are the objects to write for the photos of a work, and the ids of
// those to remove.
func (s *Store) photoChanges(ctx context.Context, c *change) (objects []*models.Object, gone []string, err error) {
	var stale []place
	for _, id := range slices.Sorted(maps.Keys(c.old)) {
		p := c.old[id]
		if _, stays := c.hashes[id]; !stays {
			gone = append(gone, p.uuid)
		} else if c.put[id] == nil && !p.sameTerms(c.work) {
			stale = append(stale, p)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.put)) {
		if _, stays := c.hashes[id]; !stays {
			continue
		}
		o, err := s.client.photoObject(c.work, c.put[id])
		if err != nil {
			return nil, nil, err
		}
		objects = append(objects, o)
	}
	// They are chosen by what is known of their work.
	read, err := s.photos(ctx, stale, true)
	if err != nil {
		return nil, nil, err
	}
	for i := range read[c.work.ID] {
		o, err := s.client.photoObject(c.work, &read[c.work.ID][i])
		if err != nil {
			return nil, nil, err
		}
		objects = append(objects, o)
	}
	return objects, gone, nil
}

func (s *Store) removeObjects(ctx context.Context, uuids []string) error {
	for uuids := range slices.Chunk(uuids, 1000) {
		if err := s.client.remove(ctx, anyOf("id", uuids...)); err != nil {
			return err
		}
	}
	return nil
}

// DeleteWork implements index.Store.
func (s *Store) DeleteWork(ctx context.Context, work string) error {
	return s.call(ctx, "delete", func() error {
		defer s.lock(work)()
		works, err := s.works(ctx, work)
		if err != nil {
			return err
		}
		if len(works) == 0 {
			return notFound("work %q", work)
		}
		return s.removeWorks(ctx, []string{keyOf(work)})
	})
}

// removeWorks removes the photos first: an interruption leaves a work, not
// photos without one.
func (s *Store) removeWorks(ctx context.Context, keys []string) error {
	if err := s.client.remove(ctx, where(kindPhoto, nil, anyOf("key", keys...))); err != nil {
		return err
	}
	return s.client.remove(ctx, where(kindWork, nil, anyOf("key", keys...)))
}

// DeletePhoto implements index.Store.
func (s *Store) DeletePhoto(ctx context.Context, work, photo string) error {
	return s.call(ctx, "delete", func() error {
		defer s.lock(work)()
		there := text("id", filters.Equal, photoUUID(work, photo).String())
		objects, err := s.client.objects(ctx, s.client.get("key").WithWhere(there).WithLimit(1))
		if err != nil {
			return err
		}
		if len(objects) == 0 {
			return notFound("photo %q of work %q", photo, work)
		}
		return s.client.remove(ctx, there)
	})
}

// DeleteWhere implements index.Store.
func (s *Store) DeleteWhere(ctx context.Context, filter index.Filter) (works int, err error) {
	if err := filter.Check(); err != nil {
		return 0, err
	}
	if len(filter) == 0 {
		return 0, invalid("delete where: without a condition everything would go")
	}
	err = s.call(ctx, "delete where", func() error {
		every := make([]int, len(s.changing))
		for i := range every {
			every[i] = i
		}
		defer s.lockAll(every)()
		for {
			objects, err := s.client.objects(ctx, s.client.get("key").WithWhere(where(kindWork, filter)).WithLimit(1000))
			if err != nil || len(objects) == 0 {
				return err
			}
			keys := make([]string, len(objects))
			for i := range objects {
				keys[i] = objects[i].Key
			}
			if err := s.removeWorks(ctx, keys); err != nil {
				return err
			}
			works += len(keys)
		}
	})
	if err != nil {
		return 0, err
	}
	return works, nil
}
