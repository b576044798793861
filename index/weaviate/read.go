package weaviate

import (
	"cmp"
	"context"
	"slices"

	"github.com/weaviate/weaviate-go-client/v5/weaviate/filters"
	"github.com/weaviate/weaviate-go-client/v5/weaviate/graphql"

	"github.com/lexicam/lexicrop/index"
)

// Get implements index.Store.
func (s *Store) Get(ctx context.Context, work string) (index.Entry, error) {
	var e index.Entry
	err := s.call(ctx, "get", func() error {
		works, err := s.works(ctx, work)
		if err != nil {
			return err
		}
		if len(works) == 0 {
			return notFound("work %q", work)
		}
		if e.Work, err = works[0].work(); err != nil {
			return err
		}
		photos, err := s.photosOf(ctx, []string{work}, false)
		e.Photos = photos[work]
		return err
	})
	if err != nil {
		return index.Entry{}, err
	}
	return e, nil
}

// GetPhoto implements index.Store.
func (s *Store) GetPhoto(ctx context.Context, work, photo string) (index.Photo, error) {
	var p index.Photo
	err := s.call(ctx, "get", func() error {
		objects, err := s.client.objects(ctx, s.client.get(photoFields+cropFields).WithWhere(text("id", filters.Equal, photoUUID(work, photo).String())).WithLimit(1))
		if err != nil {
			return err
		}
		if len(objects) == 0 {
			return notFound("photo %q of work %q", photo, work)
		}
		_, p, err = objects[0].photo(s.space.Dimension)
		return err
	})
	if err != nil {
		return index.Photo{}, err
	}
	return p, nil
}

// FindHash implements index.Store.
func (s *Store) FindHash(ctx context.Context, hash string) ([]index.PhotoRef, error) {
	var refs []index.PhotoRef
	err := s.call(ctx, "find hash", func() error {
		if hash == "" {
			return nil
		}
		places, err := s.places(ctx, text("hash", filters.Equal, digestOf(hash)))
		for _, p := range places {
			refs = append(refs, p.ref)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return refs, nil
}

// pageBytes is about how large a page of Scan may get.
const pageBytes = 8 << 20

// Scan implements index.Store.
func (s *Store) Scan(ctx context.Context, o index.ScanOptions) (index.Page, error) {
	o, err := o.Prepare()
	if err != nil {
		return index.Page{}, err
	}
	after, err := index.DecodeCursor(o.Cursor)
	if err != nil {
		return index.Page{}, err
	}
	var page index.Page
	err = s.call(ctx, "scan", func() (err error) {
		page, err = s.page(ctx, after, o)
		return err
	})
	if err != nil {
		return index.Page{}, err
	}
	return page, nil
}

func (s *Store) page(ctx context.Context, after string, o index.ScanOptions) (page index.Page, err error) {
	works, more, err := s.worksAfter(ctx, after, o)
	if err != nil || len(works) == 0 {
		return page, err
	}
	ids := make([]string, len(works))
	for i := range works {
		w, err := works[i].work()
		if err != nil {
			return page, err
		}
		ids[i] = w.ID
		page.Entries = append(page.Entries, index.Entry{Work: w})
	}
	places, err := s.placesOf(ctx, ids)
	if err != nil {
		return page, err
	}
	n, total := 0, 0
	for ; n < len(ids) && (n == 0 || total < pageBytes); n++ {
		for _, p := range places[ids[n]] {
			total += 4 * s.space.Dimension
			if o.Crops {
				total += p.bytes
			}
		}
	}
	if page.Entries = page.Entries[:n]; more || n < len(ids) {
		page.Next = index.EncodeCursor(ids[n-1])
	}
	var wanted []place
	for _, id := range ids[:n] {
		wanted = append(wanted, places[id]...)
	}
	photos, err := s.photos(ctx, wanted, o.Crops)
	for i := range page.Entries {
		page.Entries[i].Photos = photos[ids[i]]
	}
	return page, err
}

// worksAfter returns a page of the works that the filter chooses, in order, and
// whether there are more of them.
//
// The server reads and sorts all works that a query chooses, however few it
// asks for. So it looks first at those alone that begin as the last one did, and
// at more of them if these do not fill the page.
func (s *Store) worksAfter(ctx context.Context, after string, o index.ScanOptions) (works []object, more bool, err error) {
	key := keyOf(after)
	start := min(int(s.prefix.Load()), len(key))
	for size := start; ; size = max(0, size-2) {
		works, err = s.worksWithin(ctx, key, key[:size], o)
		more = len(works) > o.Limit
		if err != nil || more || size == 0 {
			s.learnPrefix(key, start, size, more)
			return works[:min(len(works), o.Limit)], more, err
		}
	}
}

// worksWithin returns the works after a key whose own keys have a prefix, up to
// one more than fit on the page.
func (s *Store) worksWithin(ctx context.Context, key, prefix string, o index.ScanOptions) ([]object, error) {
	conditions := []*filters.WhereBuilder{text("key", filters.GreaterThan, key)}
	if prefix != "" {
		conditions = append(conditions, text("key", filters.LessThan, prefix+"g")) // beyond all hexadecimal digits
	}
	return s.client.objects(ctx, s.client.get(workFields).
		WithWhere(where(kindWork, o.Filter, conditions...)).
		WithSort(graphql.Sort{Path: []string{"key"}, Order: graphql.Asc}).
		WithLimit(o.Limit+1))
}

// learnPrefix chooses the prefix that the next page begins with, by what this
// one began and ended with. It decides about the time taken, and nothing else.
func (s *Store) learnPrefix(key string, start, end int, full bool) {
	switch {
	case key == "": // nothing was to be learnt
	case !full:
		s.prefix.Store(0)
	case end < start:
		s.prefix.Store(int32(end + 2))
	default: // a longer one might have done
		s.prefix.Store(int32(end + 8))
	}
}

// works returns those of these works that are there, in any order.
func (s *Store) works(ctx context.Context, ids ...string) ([]object, error) {
	var found []object
	for ids := range slices.Chunk(ids, 1000) {
		uuids := make([]string, len(ids))
		for i, id := range ids {
			uuids[i] = workUUID(id).String()
		}
		objects, err := s.client.objects(ctx, s.client.get(workFields).WithWhere(anyOf("id", uuids...)).WithLimit(len(ids)))
		if err != nil {
			return nil, err
		}
		found = append(found, objects...)
	}
	return found, nil
}

// photosOf returns the photos of works by ascending id.
func (s *Store) photosOf(ctx context.Context, works []string, crops bool) (map[string][]index.Photo, error) {
	places, err := s.placesOf(ctx, works)
	if err != nil {
		return nil, err
	}
	var wanted []place
	for _, w := range works {
		wanted = append(wanted, places[w]...)
	}
	return s.photos(ctx, wanted, crops)
}

// place is what of a photo it takes to find it, and to keep it as it should be.
type place struct {
	ref   index.PhotoRef
	uuid  string
	bytes int // of vector and crop
	object
}

// placesOf returns the photos of works, by ascending id.
func (s *Store) placesOf(ctx context.Context, works []string) (map[string][]place, error) {
	of := make(map[string][]place, len(works))
	for works := range slices.Chunk(works, 1000) {
		keys := make([]string, len(works))
		for i, w := range works {
			keys[i] = keyOf(w)
		}
		places, err := s.places(ctx, anyOf("key", keys...))
		if err != nil {
			return nil, err
		}
		for _, p := range places {
			of[p.ref.Work] = append(of[p.ref.Work], p)
		}
	}
	return of, nil
}

// places returns the photos for which a condition holds, by work and id.
func (s *Store) places(ctx context.Context, condition *filters.WhereBuilder) ([]place, error) {
	const limit = 2000
	var places []place
	last := map[string]bool{} // of the highest order so far
	for from := 0; ; {
		objects, err := s.client.objects(ctx, s.client.get(placeFields).
			WithWhere(where(kindPhoto, nil, condition, number("order", filters.GreaterThanEqual, int64(from)))).
			WithSort(graphql.Sort{Path: []string{"order"}, Order: graphql.Asc}).
			WithLimit(limit))
		if err != nil {
			return nil, err
		}
		for i := range objects {
			o := &objects[i]
			if last[o.Additional.ID] {
				continue
			}
			if o.Order > from {
				clear(last)
				from = o.Order
			}
			last[o.Additional.ID] = true
			places = append(places, o.place())
		}
		if len(objects) < limit {
			slices.SortFunc(places, func(a, b place) int {
				return cmp.Or(cmp.Compare(a.ref.Work, b.ref.Work), cmp.Compare(a.ref.Photo, b.ref.Photo))
			})
			return places, nil
		}
	}
}

// photos reads photos, by work.
func (s *Store) photos(ctx context.Context, places []place, crops bool) (map[string][]index.Photo, error) {
	fields := photoFields
	if crops {
		fields += cropFields
	}
	of := map[string][]index.Photo{}
	for len(places) > 0 {
		n, bytes := 0, 0
		var uuids []string
		for n < len(places) && n < 1000 && (n == 0 || bytes < batchBytes) {
			uuids = append(uuids, places[n].uuid)
			bytes += places[n].bytes
			n++
		}
		objects, err := s.client.objects(ctx, s.client.get(fields).WithWhere(anyOf("id", uuids...)).WithLimit(n))
		if err != nil {
			return nil, err
		}
		for i := range objects {
			work, p, err := objects[i].photo(s.space.Dimension)
			if err != nil {
				return nil, err
			}
			of[work] = append(of[work], p)
		}
		places = places[n:]
	}
	for _, photos := range of {
		slices.SortFunc(photos, func(a, b index.Photo) int { return cmp.Compare(a.ID, b.ID) })
	}
	return of, nil
}
