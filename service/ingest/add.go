package ingest

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"reflect"
	"sync"
	"time"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/service"
)

// Embedder makes a vector, or all that the catalogue takes, of the bytes of a
// picture file. A *service.Service does.
type Embedder interface {
	Embed(ctx context.Context, picture []byte, o service.EmbedOptions) (*service.Embedding, error)
	EmbedPhoto(ctx context.Context, id string, picture []byte, o service.PhotoOptions) (*service.CataloguePhoto, error)
}

// Options say how to add.
type Options struct {
	// Workers is how many pictures are worked on at once.
	Workers int
	// Embed says how a picture becomes a photo. Its Source is filled in here.
	Embed service.EmbedOptions
	// MaxBytes is the size of the largest file that is read.
	MaxBytes int64
	// Each is called with what became of each record, in their order, by one
	// goroutine; nil for nobody.
	Each func(Outcome)
	// Patience is how long a network that is away is waited for before all of
	// it ends.
	Patience time.Duration
}

// Outcome is what became of a record.
type Outcome struct {
	Where string // as of Record
	What  What
	Err   error // of Failed
}

// What became of a record.
type What int

// What can become of a record.
const (
	Added     What = iota // the picture is in the catalogue now
	Updated               // only what is known of the work has changed
	Unchanged             // the catalogue had all of it
	Failed
)

// Counts are numbers of records by what became of them.
type Counts [Failed + 1]int

// Total is how many records there were.
func (c Counts) Total() (n int) {
	for _, k := range c {
		n += k
	}
	return n
}

// Add adds the records of source to the store. A record that fails ends
// nothing; an error is what did, and what was added until then is in the
// catalogue. When ctx ends, what is done already is kept; adding the same again
// goes on where that left off, for a file whose content the catalogue has for
// its work is not embedded again.
func Add(ctx context.Context, store index.Store, embedder Embedder, source Source, o Options) (Counts, error) {
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	info, err := store.Info(ctx)
	if err != nil {
		return Counts{}, err
	}
	a := &adder{store: store, space: info.Space, embedder: embedder, options: o, end: cancel, seen: map[string]bool{}}
	a.write(ctx, a.start(ctx, source))
	return a.counts, cmp.Or(outer.Err(), context.Cause(ctx))
}

type adder struct {
	store    index.Store
	space    index.Space // of the store
	embedder Embedder
	options  Options
	end      context.CancelCauseFunc // of all of it
	// Of write alone:
	seen   map[string]bool // what was added in this run, see job.sameAs
	batch  []*job
	counts Counts
}

// job is a record on its way into the catalogue.
type job struct {
	Record
	done chan struct{} // closed when the rest is known
	what What
	err  error
	// entry is what the catalogue has to take; nil if nothing.
	entry *index.Entry
}

// start reads and prepares the records on several goroutines, which end with
// ctx. The queue has them in their order: what is said last of a work must be
// what stays.
func (a *adder) start(ctx context.Context, source Source) <-chan *job {
	// A slow picture holds up those behind it only when the queue is full.
	queue, work := make(chan *job, 16*a.options.Workers), make(chan *job)
	var workers sync.WaitGroup
	for range a.options.Workers {
		workers.Go(func() {
			for j := range work {
				a.prepare(ctx, j)
				close(j.done)
			}
		})
	}
	go func() {
		defer workers.Wait()
		defer close(queue)
		defer close(work)
		for record, err := range source.Records() {
			j := &job{Record: record, done: make(chan struct{})}
			if err != nil {
				j.fail(err)
				close(j.done)
			}
			select {
			case queue <- j:
			case <-ctx.Done():
				return
			}
			if err != nil {
				continue
			}
			select {
			case work <- j:
			case <-ctx.Done():
				j.fail(ctx.Err())
				close(j.done)
				return
			}
		}
	}()
	return queue
}

func (j *job) fail(err error) { j.what, j.err, j.entry = Failed, err, nil }

// prepare finds out what the catalogue has to take.
func (a *adder) prepare(ctx context.Context, j *job) {
	photo, err := a.photoOf(ctx, j)
	switch {
	case err != nil:
	case photo != nil:
		j.what = Added
		j.entry = &index.Entry{Work: j.Work, Photos: []index.Photo{*photo}, KeepWork: j.KeepWork}
	case j.KeepWork:
		j.what = Unchanged
	default:
		j.what, j.entry, err = a.changed(ctx, j.Work)
	}
	if err != nil {
		j.fail(err)
	}
}

// photoOf makes the photo of a record; nil if it has none, or the catalogue has it.
func (a *adder) photoOf(ctx context.Context, j *job) (*index.Photo, error) {
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case j.File != "":
		return a.photo(ctx, j)
	case j.Stored != nil:
		return a.again(ctx, j)
	}
	return nil, nil
}

// photo embeds the picture of a file; nil if the catalogue has it.
func (a *adder) photo(ctx context.Context, j *job) (*index.Photo, error) {
	picture, err := a.read(j.File)
	if err != nil {
		return nil, err
	}
	refs, err := a.store.FindHash(ctx, service.HashOf(picture))
	if err != nil {
		return nil, a.fatal(err)
	}
	for _, ref := range refs {
		if ref.Work == j.Work.ID || j.isGuess() {
			return nil, nil
		}
	}
	var embedded *service.CataloguePhoto
	err = a.patiently(ctx, func() (err error) {
		embedded, err = a.embedder.EmbedPhoto(ctx, j.Photo, picture, service.PhotoOptions{EmbedOptions: a.options.Embed, Source: j.Source})
		return err
	})
	if err != nil {
		return nil, err
	}
	return &embedded.Photo, a.check(embedded.Embedding.Space)
}

func (a *adder) read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s: it is a folder", path)
	case a.options.MaxBytes > 0 && info.Size() > a.options.MaxBytes:
		return nil, fmt.Errorf("%s has %d bytes: at most %d are read", path, info.Size(), a.options.MaxBytes)
	}
	return os.ReadFile(path)
}

// retryEvery is the pause before a network that is away is asked again.
const retryEvery = 250 * time.Millisecond

// patiently repeats what fails because a network is away: a local Triton that
// died is there again within seconds.
func (a *adder) patiently(ctx context.Context, embed func() error) error {
	deadline := time.Now().Add(a.options.Patience)
	for {
		err := embed()
		if err == nil || !passes(err) {
			return err
		}
		if time.Now().After(deadline) {
			return a.fatal(err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryEvery):
		}
	}
}

// check ends all of it if the embedder is not the one of the catalogue.
func (a *adder) check(space index.Space) error {
	if err := a.space.Check(space); err != nil {
		return a.fatal(err)
	}
	return nil
}

// passes says whether a failure has nothing to do with the picture, and may be
// over soon.
func passes(err error) bool {
	switch service.AsError(err).Code {
	case service.CodeModelNotReady, service.CodeBackendGone, service.CodeBusy, service.CodeDeadline:
		return true
	}
	return false
}

// fatal ends all of it because of err.
func (a *adder) fatal(err error) error {
	a.end(err)
	return err
}

// changed is what the catalogue has to take of a work whose photo it has.
func (a *adder) changed(ctx context.Context, w index.Work) (What, *index.Entry, error) {
	known, err := a.store.Get(ctx, w.ID)
	switch {
	case err != nil && index.KindOf(err) != index.NotFound:
		return Failed, nil, a.fatal(err)
	case err == nil && same(&known.Work, &w):
		return Unchanged, nil, nil
	}
	return Updated, &index.Entry{Work: w}, nil
}

// same compares what the catalogue has with what it would have.
func same(known, w *index.Work) bool {
	a, b := *known, *w
	a.Metadata, b.Metadata = nil, nil
	return reflect.DeepEqual(a, b) && (len(known.Metadata) == 0 && len(w.Metadata) == 0 || reflect.DeepEqual(known.Metadata, w.Metadata))
}

// write takes the jobs in order and writes those that are done together: a disk
// that takes long to keep one change keeps many in the same time.
func (a *adder) write(ctx context.Context, queue <-chan *job) {
	const most = 256
	for j := range queue {
		select {
		case <-j.done:
		default:
			a.flush(ctx)
			<-j.done
		}
		a.take(j)
		if len(a.batch) >= most {
			a.flush(ctx)
		}
	}
	a.flush(ctx)
}

func (a *adder) take(j *job) {
	if j.what == Added && j.Stored == nil {
		key := j.sameAs()
		if a.seen[key] {
			j.what, j.entry = Unchanged, nil
		}
		a.seen[key] = true
	}
	a.batch = append(a.batch, j)
}

// sameAs is the same of two records of which the second brings nothing new: the
// same picture of one work, or under any name where only names tell them apart.
func (j *job) sameAs() string {
	hash := j.entry.Photos[0].Hash
	if j.isGuess() {
		return hash
	}
	return hash + " " + j.Work.ID
}

// flush writes what was collected, also when it is time to end: it is done, and
// doing it again costs more.
func (a *adder) flush(ctx context.Context) {
	batch := a.batch
	a.batch = nil
	if err := a.upsert(context.WithoutCancel(ctx), batch); err != nil {
		_ = a.fatal(err)
		return
	}
	for _, j := range batch {
		if j.what == Failed && ctx.Err() != nil {
			continue // that is why, and the record will be tried again
		}
		a.counts[j.what]++
		if a.options.Each != nil {
			a.options.Each(Outcome{Where: j.Where, What: j.what, Err: j.err})
		}
	}
}

// upsert writes the entries of the jobs. Those that the store refuses fail; the
// error is about the store.
func (a *adder) upsert(ctx context.Context, jobs []*job) error {
	var entries []index.Entry
	var writing []*job
	for _, j := range jobs {
		if j.entry != nil {
			entries, writing = append(entries, *j.entry), append(writing, j)
		}
	}
	if len(entries) == 0 {
		return nil
	}
	err := a.store.Upsert(ctx, a.space, entries...)
	switch kind := index.KindOf(err); {
	case err == nil:
		return nil
	case kind != index.Invalid && kind != index.BadVector:
		return err
	case len(writing) == 1:
		writing[0].fail(err)
		return nil
	}
	for i := range writing { // all or nothing was written
		if err := a.upsert(ctx, writing[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// Count counts the records of a source until ctx ends.
func Count(ctx context.Context, source Source) (n int) {
	for range source.Records() { //nolint:errcheck // one that fails is one as well
		if ctx.Err() != nil {
			break
		}
		n++
	}
	return n
}
