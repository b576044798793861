package ingest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/service"
)

// errNoCrop is of a photo that only its original picture could embed anew.
var errNoCrop = errors.New("no crop of it was kept: its picture must be added again")

// Rebuild makes to a catalogue of the same works and photos as from, whose
// vectors embedder makes anew from the crops. What to has already of it, by an
// interrupted Rebuild, stays; what it has besides goes. Options.Embed has no
// meaning here, a crop being the work alone. Where of an outcome is "WORK" or
// "WORK PHOTO".
func Rebuild(ctx context.Context, to, from index.Store, embedder Embedder, o Options) (Counts, error) {
	source := &stored{ctx: ctx, store: from}
	counts, err := Add(ctx, to, embedder, source, o)
	if err = cmp.Or(err, source.err); err != nil {
		return counts, err
	}
	return counts, removeOthers(ctx, to, from)
}

// stored is a catalogue as a source.
type stored struct {
	ctx   context.Context //nolint:containedctx // of the one sequence that is read
	store index.Store
	err   error // that ended the sequence
}

// Records implements Source.
func (s *stored) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for e, err := range index.All(s.ctx, s.store, index.ScanOptions{Crops: true}) {
			if err != nil {
				s.err = err
				return
			}
			if len(e.Photos) == 0 && !yield(Record{Work: e.Work, Where: e.Work.ID}, nil) {
				return
			}
			for i := range e.Photos {
				p := &e.Photos[i]
				if !yield(Record{Work: e.Work, Photo: p.ID, Where: e.Work.ID + " " + p.ID, Stored: p}, nil) {
					return
				}
			}
		}
	}
}

// again embeds a photo of another catalogue; nil if this one has it.
func (a *adder) again(ctx context.Context, j *job) (*index.Photo, error) {
	p := *j.Stored
	known, err := a.store.GetPhoto(ctx, j.Work.ID, p.ID)
	switch {
	case err == nil && known.Hash == p.Hash && known.Source == p.Source && bytes.Equal(known.Crop, p.Crop):
		return nil, nil
	case err != nil && index.KindOf(err) != index.NotFound:
		return nil, a.fatal(err)
	case len(p.Crop) == 0:
		return nil, errNoCrop
	}
	err = a.patiently(ctx, func() error {
		embedded, err := a.embedder.Embed(ctx, p.Crop, service.EmbedOptions{})
		if err == nil {
			p.Vector, err = embedded.Vector, a.check(embedded.Space)
		}
		return err
	})
	return &p, err
}

// removeOthers removes from a catalogue what another does not have.
func removeOthers(ctx context.Context, store, other index.Store) error {
	for e, err := range index.All(ctx, store, index.ScanOptions{}) {
		if err != nil {
			return err
		}
		right, err := other.Get(ctx, e.Work.ID)
		switch {
		case index.KindOf(err) == index.NotFound:
			err = store.DeleteWork(ctx, e.Work.ID)
		case err == nil:
			err = removePhotos(ctx, store, e, right.Photos)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func removePhotos(ctx context.Context, store index.Store, e index.Entry, right []index.Photo) error {
	for _, p := range e.Photos {
		if slices.ContainsFunc(right, func(r index.Photo) bool { return r.ID == p.ID }) {
			continue
		}
		if err := store.DeletePhoto(ctx, e.Work.ID, p.ID); err != nil {
			return err
		}
	}
	return nil
}
