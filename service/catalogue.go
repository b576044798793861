package service

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/lexicam/lexicrop/index"
)

// What the catalogue holds and how it is asked.
type (
	// Entry is a work with its photos.
	Entry = index.Entry
	// Work is what is known of a work.
	Work = index.Work
	// Metadata is anything else that is known of a work.
	Metadata = index.Metadata
	// Photo is one picture of a work.
	Photo = index.Photo
	// Space is where vectors can be compared.
	Space = index.Space
	// Match is a work that was found.
	Match = index.Match
	// Filter chooses works.
	Filter = index.Filter
	// Condition is one of a filter's.
	Condition = index.Condition
	// ScanOptions say what part of the catalogue to list.
	ScanOptions = index.ScanOptions
	// Page is a part of the catalogue.
	Page = index.Page
	// Counts are numbers of works and photos.
	Counts = index.Counts
)

// OpenStore opens the catalogue for vectors of a space, and makes it where there is none. With an empty
// space it opens what is there, whatever its space, and fails with index.NotFound where nothing is.
type OpenStore func(ctx context.Context, space Space) (index.Store, error)

// CatalogueStatus is the state of the catalogue, for the operator.
type CatalogueStatus struct {
	// Ready says whether it can be searched with the vectors of the embedder.
	Ready bool
	// Opening is true until it is open and checked, or why it cannot be opened is known.
	Opening bool
	// Unsound says that it is open and failed the check: its vectors are not those that the embedder makes.
	Unsound bool
	// Reason says why it is not ready.
	Reason string
	// Space is that of its vectors; zero until it is open.
	Space Space
}

// CatalogueStatus tells the state of the catalogue; ok is false where none is configured.
func (s *Service) CatalogueStatus() (status CatalogueStatus, ok bool) {
	if s.catalogue == nil {
		return CatalogueStatus{}, false
	}
	return s.catalogue.status(), true
}

// Catalogue returns the catalogue's store, which belongs to the service. The error, an *Error, says why
// there is none.
func (s *Service) Catalogue() (index.Store, error) {
	if s.catalogue == nil {
		return nil, &Error{Code: CodeNotConfigured, Detail: "this server has no catalogue"}
	}
	return s.catalogue.get()
}

// WaitCatalogue returns the catalogue's store as soon as it is open and checked, or why it cannot be
// opened. CatalogueStatus tells what the check has found.
func (s *Service) WaitCatalogue(ctx context.Context) (index.Store, error) {
	for {
		store, err := s.Catalogue()
		status, ok := s.CatalogueStatus()
		if !ok || !status.Opening {
			return store, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the catalogue: %w: %s", ctx.Err(), status.Reason)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// catalogue keeps the store open. It is opened when the embedder is known, for its vectors, and checked
// with it.
type catalogue struct {
	open OpenStore
	// wanted is the space of the embedder, zero until it is known.
	wanted func() Space
	// check says what is wrong with the vectors of the store, or errCheckPending.
	check  func(context.Context, index.Store) error
	log    *slog.Logger
	opened atomic.Pointer[openedStore]
	failed atomic.Pointer[error] // the last attempt to open it, with the embedder known
}

type openedStore struct {
	index.Store
	space Space
	// verdict is what the last check has found, nil before the first.
	verdict atomic.Pointer[verdict]
}

// verdict is nothing where a catalogue passed its check.
type verdict struct{ err error }

const (
	// pollCatalogue is how often the embedder is asked whether its vectors are still those of the
	// catalogue, retryCatalogue how often one that cannot be opened is tried again.
	pollCatalogue  = 250 * time.Millisecond
	retryCatalogue = 2 * time.Second
)

// errAwaited is why there is no catalogue yet: it is made for the vectors of an embedder.
var errAwaited = errors.New("the embedder is awaited")

// watch opens the catalogue, and opens it again when the embedder was changed and the catalogue made
// anew for it, until ctx ends. Then it closes it.
func (c *catalogue) watch(ctx context.Context) {
	reason := errAwaited.Error()
	for ctx.Err() == nil {
		wait := pollCatalogue
		if err := c.look(ctx); err != nil && !errors.Is(err, errAwaited) {
			wait = retryCatalogue
		}
		if now := c.status().Reason; now != reason {
			if reason = now; reason != "" {
				c.log.Warn("the catalogue cannot be searched", "reason", reason)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	if o := c.opened.Load(); o != nil {
		if err := o.Close(); err != nil {
			c.log.Error("closing the catalogue", "error", err)
		}
	}
}

// look opens the catalogue where it is not open for the vectors of the embedder, and checks it until it
// passes: what was wrong may have been put right.
func (c *catalogue) look(ctx context.Context) error {
	wanted, have := c.wanted(), c.opened.Load()
	if have == nil || wanted != (Space{}) && wanted != have.space {
		if err := c.reopen(ctx, wanted, have); err != nil {
			return err
		}
		have = c.opened.Load()
	}
	if v := have.verdict.Load(); wanted != have.space || v != nil && v.err == nil {
		return nil
	}
	err := c.check(ctx, have)
	have.verdict.Store(&verdict{err})
	return err
}

// reopen puts the catalogue, opened for the vectors of the embedder, in the place of the one there is.
func (c *catalogue) reopen(ctx context.Context, wanted Space, have *openedStore) error {
	store, err := c.open(ctx, wanted)
	if isOtherSpace(err) && have == nil {
		// It cannot be searched, but read and deleted from.
		store, err = c.open(ctx, Space{})
	}
	if wanted == (Space{}) && index.KindOf(err) == index.NotFound {
		return errAwaited
	}
	if err != nil {
		c.failed.Store(&err)
		return err
	}
	info, err := store.Info(ctx)
	if err != nil {
		c.failed.Store(&err)
		return errors.Join(err, store.Close())
	}
	c.opened.Store(&openedStore{Store: store, space: info.Space})
	c.log.Info("the catalogue is open", "store", info.Kind, "works", info.Works, "photos", info.Photos, "space", info.Space.String())
	if have != nil {
		return have.Close()
	}
	return nil
}

func (c *catalogue) get() (index.Store, error) {
	if o := c.opened.Load(); o != nil {
		return o.Store, nil
	}
	e := &Error{Code: CodeCatalogueGone, Detail: "the catalogue is not open yet", Err: errAwaited}
	if err := c.failed.Load(); err != nil {
		e.Detail, e.Err = "the catalogue cannot be opened", *err
	}
	return nil, e
}

func (c *catalogue) spaceOf() (Space, error) {
	if _, err := c.get(); err != nil {
		return Space{}, err
	}
	return c.opened.Load().space, nil
}

func (c *catalogue) status() CatalogueStatus {
	if o := c.opened.Load(); o != nil {
		return o.status(c.wanted())
	}
	if err := c.failed.Load(); err != nil {
		return CatalogueStatus{Reason: (*err).Error()}
	}
	return CatalogueStatus{Opening: true, Reason: errAwaited.Error()}
}

func (o *openedStore) status(wanted Space) CatalogueStatus {
	status := CatalogueStatus{Space: o.space}
	v := o.verdict.Load()
	switch {
	case wanted == Space{}:
		status.Ready = true // as far as anybody can tell
	case wanted != o.space:
		status.Reason = mismatch(o.space, wanted)
	case v == nil:
		status.Opening, status.Reason = true, "crops of it are embedded again, to see whether they find themselves"
	case v.err == nil:
		status.Ready = true
	case errors.Is(v.err, errCheckPending):
		status.Opening, status.Reason = true, v.err.Error()
	default:
		status.Unsound, status.Reason = true, v.err.Error()
	}
	return status
}

func mismatch(own, wanted Space) string {
	return (&index.SpaceError{Index: own, Given: wanted}).Error() + ", which the embedder makes; `lexicrop index rebuild` embeds it anew"
}

func isOtherSpace(err error) bool {
	_, ok := errors.AsType[*index.SpaceError](err)
	return ok
}

// embedderSpace is where the vectors of the embedder can be compared, zero until it is known.
func (s *Service) embedderSpace() Space {
	if contract := s.embedder.status().Contract; contract != nil {
		return Space{Name: contract.Space, Fingerprint: contract.Fingerprint, Dimension: contract.Dimensions}
	}
	return Space{}
}

// PutWork adds a work or replaces what is known of it; its photos stay. Every error is an *Error.
func (s *Service) PutWork(ctx context.Context, w Work) error {
	store, err := s.Catalogue()
	if err != nil {
		return AsError(err)
	}
	space, err := s.catalogue.spaceOf()
	if err != nil {
		return AsError(err)
	}
	return asError(store.Upsert(ctx, space, Entry{Work: w}))
}

// Work returns a work with its photos, without their crops. Every error is an *Error.
func (s *Service) Work(ctx context.Context, id string) (Entry, error) {
	store, err := s.Catalogue()
	if err != nil {
		return Entry{}, AsError(err)
	}
	entry, err := store.Get(ctx, id)
	return entry, asError(err)
}

// Works lists a page of the catalogue. Every error is an *Error.
func (s *Service) Works(ctx context.Context, o ScanOptions) (Page, error) {
	store, err := s.Catalogue()
	if err != nil {
		return Page{}, AsError(err)
	}
	page, err := store.Scan(ctx, o)
	return page, asError(err)
}

// DeleteWork removes a work and its photos. Every error is an *Error.
func (s *Service) DeleteWork(ctx context.Context, id string) error {
	store, err := s.Catalogue()
	if err != nil {
		return AsError(err)
	}
	return asError(store.DeleteWork(ctx, id))
}

// DeleteWorks removes the works that a filter chooses, and counts them. Every error is an *Error.
func (s *Service) DeleteWorks(ctx context.Context, f Filter) (int, error) {
	store, err := s.Catalogue()
	if err != nil {
		return 0, AsError(err)
	}
	n, err := store.DeleteWhere(ctx, f)
	return n, asError(err)
}

// Photo returns a photo of a work with its crop. Every error is an *Error.
func (s *Service) Photo(ctx context.Context, work, photo string) (Photo, error) {
	store, err := s.Catalogue()
	if err != nil {
		return Photo{}, AsError(err)
	}
	p, err := store.GetPhoto(ctx, work, photo)
	return p, asError(err)
}

// DeletePhoto removes a photo of a work. Every error is an *Error.
func (s *Service) DeletePhoto(ctx context.Context, work, photo string) error {
	store, err := s.Catalogue()
	if err != nil {
		return AsError(err)
	}
	return asError(store.DeletePhoto(ctx, work, photo))
}

// PhotoOptions say how a picture becomes a photo of a work.
type PhotoOptions struct {
	// EmbedOptions: a reproduction is the work itself and wants no Crop.
	EmbedOptions
	// Source tells people where the picture came from, a file name for example.
	Source string
}

// CataloguePhoto is a picture as the catalogue takes it.
type CataloguePhoto struct {
	Photo
	Embedding *Embedding
}

// EmbedPhoto makes of the bytes of a picture file what the catalogue takes: the vector, the hash of the
// file (SHA-256, hexadecimal) and, where Options.CropSide is not 0, the crop. Without an id the photo
// gets one by its content. The catalogue is not changed. Every error is an *Error.
func (s *Service) EmbedPhoto(ctx context.Context, id string, picture []byte, o PhotoOptions) (*CataloguePhoto, error) {
	watch := startStopwatch()
	p, err := s.embedPhoto(ctx, id, picture, o, watch)
	if err != nil {
		return nil, AsError(err)
	}
	s.metrics.observe(watch)
	p.Embedding.Timings = watch.timings
	return p, nil
}

func (s *Service) embedPhoto(ctx context.Context, id string, picture []byte, o PhotoOptions, watch *stopwatch) (*CataloguePhoto, error) {
	var small thumbnail
	wanted := &small
	if small.side = s.options.CropSide; small.side == 0 {
		wanted = nil
	}
	embedding, err := s.embed(ctx, picture, o.EmbedOptions, wanted, watch)
	if err != nil {
		return nil, err
	}
	p := &CataloguePhoto{Photo{ID: id, Vector: embedding.Vector, Hash: HashOf(picture), Source: o.Source, Crop: small.jpeg}, embedding}
	if id == "" {
		p.ID = p.Hash[:16]
	}
	return p, nil
}

// HashOf is Photo.Hash of the bytes of a picture file.
func HashOf(picture []byte) string {
	sum := sha256.Sum256(picture)
	return hex.EncodeToString(sum[:])
}

// PutPhoto embeds the bytes of a picture file and adds it to a work, or replaces the photo that has its
// id. A work that is not there yet is made as w says, of one that is there everything but the photo
// stays as it is. Without an id the photo gets one by its content. Every error is an *Error.
func (s *Service) PutPhoto(ctx context.Context, w Work, photo string, picture []byte, o PhotoOptions) (*CataloguePhoto, error) {
	watch := startStopwatch()
	store, err := s.soundCatalogue()
	if err != nil {
		return nil, AsError(err)
	}
	p, err := s.embedPhoto(ctx, photo, picture, o, watch)
	if err != nil {
		return nil, AsError(err)
	}
	if err := store.Upsert(ctx, p.Embedding.Space, Entry{Work: w, Photos: []Photo{p.Photo}, KeepWork: true}); err != nil {
		return nil, AsError(err)
	}
	watch.lap(StageStore)
	s.metrics.observe(watch)
	p.Embedding.Timings = watch.timings
	return p, nil
}

// soundCatalogue is Catalogue for what relies on the vectors that the embedder makes: one that failed its
// check would give wrong answers, and would keep wrong vectors.
func (s *Service) soundCatalogue() (index.Store, error) {
	store, err := s.Catalogue()
	if err != nil {
		return nil, err
	}
	if status := s.catalogue.status(); status.Unsound {
		return nil, &Error{Code: CodeCatalogueGone, Detail: "the catalogue failed its check and cannot be searched", Err: errors.New(status.Reason)}
	}
	return store, nil
}

// asError is AsError for what may be nil.
func asError(err error) error {
	if err == nil {
		return nil
	}
	return AsError(err)
}
