package weaviate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/weaviate/weaviate-go-client/v5/weaviate/filters"

	"github.com/lexicam/lexicrop/index"
)

// Verify implements index.Store: it checks every object against its sum, what
// searches and filters use against what the objects say, and whether searches
// find every photo. Of what changes meanwhile it may tell what is over already.
func (s *Store) Verify(ctx context.Context) (index.Report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.life, func() { cancel(errClosing) })() // Close does not wait for all of this
	v := verification{store: s, probe: make([]float32, s.space.Dimension), works: map[string]string{}}
	v.probe[0] = 1
	err := s.call(ctx, "verify", func() error { return v.run(ctx) })
	if err != nil {
		if errors.Is(context.Cause(ctx), errClosing) {
			err = s.isClosed()
		}
		return index.Report{}, err
	}
	return v.report, nil
}

var errClosing = errors.New("the store is closing")

type verification struct {
	store  *Store
	probe  []float32 // to search with
	report index.Report
	works  map[string]string // what its photos must share with a work, by key
	photos []photoOfWork
}

// photoOfWork is a photo that was read.
type photoOfWork struct {
	index.PhotoRef
	key, shared string
	found       bool // by a search
}

func (v *verification) problem(work, photo, what string) {
	v.report.Problems = append(v.report.Problems, index.Problem{Work: work, Photo: photo, What: what})
}

// verifyPage is how many objects are read at once, crops included.
const verifyPage = 50

func (v *verification) run(ctx context.Context) error {
	c := v.store.client
	for after := ""; ; {
		objects, err := c.objects(ctx, c.get(verifyFields).WithLimit(verifyPage).WithAfter(after))
		if err != nil {
			return err
		}
		if err := v.read(ctx, objects); err != nil {
			return err
		}
		if len(objects) < verifyPage {
			break
		}
		after = objects[len(objects)-1].Additional.ID
	}
	for _, p := range v.photos {
		if shared, there := v.works[p.key]; there && shared == p.shared && p.found {
			continue
		}
		if err := v.lookAgain(ctx, p.PhotoRef); err != nil {
			return err
		}
	}
	slices.SortStableFunc(v.report.Problems, func(a, b index.Problem) int {
		return cmp.Or(cmp.Compare(a.Work, b.Work), cmp.Compare(a.Photo, b.Photo))
	})
	return nil
}

// read checks objects by themselves.
func (v *verification) read(ctx context.Context, objects []object) error {
	var photos []string
	for i := range objects {
		if objects[i].Kind == kindPhoto {
			photos = append(photos, objects[i].Additional.ID)
		}
	}
	found, err := v.store.findable(ctx, v.probe, photos)
	if err != nil {
		return err
	}
	for i := range objects {
		o := &objects[i]
		if o.Kind != kindPhoto {
			v.readWork(o)
			continue
		}
		v.report.Photos++
		work, p, err := o.photo(v.store.space.Dimension)
		v.photos = append(v.photos, photoOfWork{index.PhotoRef{Work: work, Photo: p.ID}, o.Key, sharedOf(o), found[o.Additional.ID]})
		switch {
		case err != nil:
			v.problem(work, p.ID, err.Error())
		case o.Key != keyOf(work) || o.Additional.ID != photoUUID(work, p.ID).String():
			v.problem(work, p.ID, "it is kept in the place of another")
		case !slices.Equal(o.Additional.Vector, index.DirectionOf(p.Vector)):
			v.problem(work, p.ID, "searches use another vector than the one kept")
		case p.Hash != "" && o.Hash != digestOf(p.Hash) || p.Hash == "" && o.Hash != "":
			v.problem(work, p.ID, "it is not found by its hash")
		}
	}
	return nil
}

func (v *verification) readWork(o *object) {
	v.report.Works++
	v.works[o.Key] = sharedOf(o)
	w, err := o.work()
	switch {
	case err != nil:
		v.problem(w.ID, "", err.Error())
	case o.Key != keyOf(w.ID) || o.Additional.ID != workUUID(w.ID).String():
		v.problem(w.ID, "", "it is kept in the place of another")
	case !o.sameTerms(&w):
		v.problem(w.ID, "", "filters take it for another work")
	}
}

// sharedOf is what a photo must share with its work.
func sharedOf(o *object) string { return digestOf(fmt.Sprint(o.Year, o.Terms)) }

// findable says which of these photos searches find, by their ids; any vector
// will do.
func (s *Store) findable(ctx context.Context, vector []float32, ids []string) (map[string]bool, error) {
	found := make(map[string]bool, len(ids))
	for ids := range slices.Chunk(ids, 1000) {
		hits, err := s.client.objects(ctx, s.client.get("_additional{id}").
			WithNearVector(s.client.graphql.NearVectorArgBuilder().WithVector(vector)).WithWhere(anyOf("id", ids...)).WithLimit(len(ids)))
		if err != nil {
			return nil, err
		}
		for i := range hits {
			found[hits[i].Additional.ID] = true
		}
	}
	return found, nil
}

// lookAgain tells what is wrong with a photo and its work together, now that
// nobody here changes them.
func (v *verification) lookAgain(ctx context.Context, ref index.PhotoRef) error {
	s := v.store
	defer s.lock(ref.Work)()
	photos, err := s.client.objects(ctx, s.client.get(verifyFields).WithWhere(text("id", filters.Equal, photoUUID(ref.Work, ref.Photo).String())).WithLimit(1))
	if err != nil || len(photos) == 0 {
		return err
	}
	works, err := s.works(ctx, ref.Work)
	if err != nil {
		return err
	}
	found, err := s.findable(ctx, v.probe, []string{photos[0].Additional.ID})
	if err != nil {
		return err
	}
	switch {
	case len(works) == 0:
		v.problem(ref.Work, ref.Photo, "there is no work that it belongs to")
	case sharedOf(&works[0]) != sharedOf(&photos[0]):
		v.problem(ref.Work, ref.Photo, "filters take it for a photo of another work")
	case !found[photos[0].Additional.ID]:
		v.problem(ref.Work, ref.Photo, "searches do not find it")
	}
	return nil
}
