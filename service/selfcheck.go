package service

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/preprocess"
)

const (
	// checkedCrops is how many crops of the catalogue are embedded again, and checkedPages how many pages
	// of works of that number are read to find them.
	checkedCrops, checkedPages = 8, 4
	// leastSelf is the similarity with which a crop that was embedded again must find its own work.
	leastSelf = 0.99
	// forgiven is the share of the crops that may fail: a single odd entry is no reason to serve nobody.
	forgiven = 0.25
	// checkTimeout bounds all of it, readiness waits for it.
	checkTimeout = 30 * time.Second
)

// errCheckPending is that the embedder could not be asked: it says nothing about the catalogue.
var errCheckPending = errors.New("the catalogue could not be checked")

// selfCheck embeds some crops that the catalogue keeps once more and wants each to find its own work. It
// fails where a model of the same name and fingerprint makes other vectors than those that are stored:
// a damaged file, another precision, another preparation of the picture. A catalogue without crops
// passes.
func (s *Service) selfCheck(ctx context.Context, store index.Store) error {
	ctx, cancel := context.WithTimeout(WithRole(ctx, modelrepo.TaskEmbedder, RolePrimary), checkTimeout)
	defer cancel()
	samples, err := sampleCrops(ctx, store)
	if err != nil {
		return fmt.Errorf("%w: reading it: %w", errCheckPending, err)
	}
	checked := 0
	var failures []string
	for _, c := range samples {
		similarity, err := s.findAgain(ctx, store, c)
		if _, damaged := errors.AsType[*preprocess.Error](err); damaged {
			continue // what is damaged, verify lists
		}
		if err != nil {
			return fmt.Errorf("%w: embedding a crop of work %s: %w", errCheckPending, c.work, err)
		}
		checked++
		if !(similarity >= leastSelf) {
			failures = append(failures, fmt.Sprintf("work %s with similarity %.3f instead of %.2f", c.work, similarity, leastSelf))
		}
	}
	if float64(len(failures)) <= forgiven*float64(checked) {
		s.log.Debug("crops of the catalogue were embedded again and found themselves", "crops", checked, "failed", len(failures))
		return nil
	}
	return fmt.Errorf("of %d stored crops that were embedded again, %d do not find themselves (%s): the embedder makes other vectors than when the catalogue was filled. Bring back what has changed (the model's files, or what runs them), or embed the catalogue anew with `lexicrop index rebuild --force`",
		checked, len(failures), strings.Join(failures[:min(len(failures), 3)], ", "))
}

// storedCrop is a crop that the catalogue keeps.
type storedCrop struct {
	work string
	jpeg []byte
}

// sampleCrops reads a crop of each of the first works that have one.
func sampleCrops(ctx context.Context, store index.Store) (samples []storedCrop, err error) {
	options := ScanOptions{Limit: checkedCrops, Crops: true}
	for range checkedPages {
		page, err := store.Scan(ctx, options)
		if err != nil {
			return nil, err
		}
		for _, e := range page.Entries {
			for _, p := range e.Photos {
				if p.Crop != nil {
					samples = append(samples, storedCrop{e.Work.ID, p.Crop})
					break
				}
			}
		}
		if options.Cursor = page.Next; options.Cursor == "" || len(samples) >= checkedCrops {
			break
		}
	}
	return samples[:min(len(samples), checkedCrops)], nil
}

// findAgain returns the similarity with which a crop finds its own work, -1 where it does not.
func (s *Service) findAgain(ctx context.Context, store index.Store, c storedCrop) (float64, error) {
	e, err := s.embed(ctx, c.jpeg, EmbedOptions{}, nil, startStopwatch())
	if err != nil {
		return 0, err
	}
	own := Filter{{Field: "id", Op: index.Equal, Values: []string{c.work}}}
	matches, err := store.Search(ctx, index.Query{Space: e.Space, Vector: e.Vector, Limit: 1, Filter: own})
	switch {
	case err != nil:
		return 0, err
	case len(matches) == 0:
		return -1, nil
	}
	return float64(matches[0].Similarity), nil
}
