// Package weaviate keeps a catalogue in a collection of a Weaviate cluster, for
// several processes at once: all of them read and write the same objects and
// keep nothing of them in memory. The collection has a flat index: a search
// compares the query with every vector, each shard on its node, and so misses
// none. (HNSW, Weaviate's other index, misses near duplicates.)
//
// What is acknowledged outlives a node that is killed. It need not outlive a
// machine that loses power: Weaviate writes to the disk without waiting for it,
// and relies on other nodes instead. So a cluster has three nodes or more, and
// the catalogue as many replicas; then more than half of them acknowledge every
// change and answer every read. A node that was away may for a minute or so not
// find what was written meanwhile, and Weaviate has one node answer a search.
//
// Weaviate changes one object at a time. What is changed of a work, such as its
// title, reaches work and photos one after the other; an interruption leaves a
// part, which the same Upsert completes, and Verify lists. Processes that change
// the same work at the same moment can leave such a part, too: let one of them
// do it.
//
// The tests run one node of Weaviate 1.35.2; other versions, and clusters, are not
// part of them. ASYNC_INDEXING must be off, as it is by default: with it, searches
// would not find what was just written. QUERY_MAXIMUM_RESULTS must be 10,000 or
// more, as it is by default.
package weaviate

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lexicam/lexicrop/index"
)

// Options say how to open a catalogue.
type Options struct {
	// URL says where the server is, such as https://weaviate:8080.
	URL string
	// APIKey is what the server asks for; empty where it asks for none. No error
	// and no log has it.
	APIKey string
	// Collection has the catalogue: a name of letters, digits and underscores
	// that begins with a capital one. Default: Lexicrop.
	Collection string
	// Space of the vectors. A catalogue that is there must have the same one;
	// left empty, it is that of the catalogue, which must be there.
	Space index.Space
	// Replicas is how many nodes keep every object of a catalogue that is made.
	// Default: what the server has as its default, one.
	Replicas int
	// TLS is for URLs of https. Default: the system's authorities.
	TLS *tls.Config
	// Timeout is the longest that one request to the server may take. Default: a
	// minute.
	Timeout time.Duration
	// Log is told of damage. Default: nowhere.
	Log *slog.Logger
}

// Store is an index.Store. Changes of the same work that one process makes wait
// for each other.
type Store struct {
	place  string // for people
	space  index.Space
	log    *slog.Logger
	client *client

	prefix   atomic.Int32   // see learnPrefix
	changing [64]sync.Mutex // each held to change the works that fall to it
	using    sync.RWMutex   // held to read by every call, to write by Close
	closed   bool
	stop     context.CancelFunc // ends the calls that take long
	life     context.Context    // ended by stop
}

var _ index.Store = (*Store)(nil)

// Open opens the catalogue in a collection, or makes it if it is not there.
// Several processes may do so at once.
//
// Errors are *index.Error: OtherSpace and WrongDimension if the catalogue holds
// other vectors, NotFound if there is none and Options name no space, Invalid if
// Options or collection cannot serve, Unavailable if the server cannot be
// reached.
func Open(ctx context.Context, o Options) (*Store, error) {
	o.Collection = cmp.Or(o.Collection, "Lexicrop")
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := check(o); err != nil {
		return nil, failure(ctx, "open the catalogue", err)
	}
	c, err := newClient(o)
	if err != nil {
		return nil, failure(ctx, "open the catalogue", err)
	}
	s := &Store{place: fmt.Sprintf("collection %s on %s", o.Collection, o.URL), log: o.Log, client: c}
	if s.space, err = c.prepare(ctx, o.Space, o.Replicas); err != nil {
		c.transport.CloseIdleConnections()
		return nil, failure(ctx, "open the catalogue in "+s.place, err)
	}
	s.prefix.Store(2 * index.MaxIDBytes) // nothing is known yet
	s.life, s.stop = context.WithCancel(context.Background())
	return s, nil
}

func check(o Options) error {
	if !isCollection(o.Collection) {
		return invalid("collection %q: its name must be of letters, digits and underscores and begin with a capital letter", o.Collection)
	}
	if o.Replicas < 0 || o.Timeout < 0 {
		return invalid("%d replicas, a timeout of %v", o.Replicas, o.Timeout)
	}
	if o.Space != (index.Space{}) {
		return o.Space.Valid()
	}
	return nil
}

var isCollection = regexp.MustCompile(`^[A-Z][_0-9A-Za-z]{0,199}$`).MatchString

// Close implements index.Store.
func (s *Store) Close() error {
	s.stop()
	s.using.Lock()
	defer s.using.Unlock()
	s.closed = true
	s.client.transport.CloseIdleConnections()
	return nil
}

// call runs f unless the store is closed, and tells what it was doing if it
// fails.
func (s *Store) call(ctx context.Context, doing string, f func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.using.RLock()
	defer s.using.RUnlock()
	if s.closed {
		return s.isClosed()
	}
	if err := f(); err != nil {
		return failure(ctx, doing, err)
	}
	return nil
}

func (s *Store) isClosed() error {
	return &index.Error{Kind: index.Closed, Err: errors.New(s.place)}
}

// lock has the changes of these works wait that others make.
func (s *Store) lock(works ...string) (unlock func()) {
	var mine []int
	for _, w := range works {
		h := fnv.New32a()
		_, _ = h.Write([]byte(w))
		mine = append(mine, int(h.Sum32()%uint32(len(s.changing))))
	}
	slices.Sort(mine) // two that want the same ones never wait for each other
	return s.lockAll(slices.Compact(mine))
}

func (s *Store) lockAll(mine []int) (unlock func()) {
	for _, i := range mine {
		s.changing[i].Lock()
	}
	return func() {
		for _, i := range mine {
			s.changing[i].Unlock()
		}
	}
}

// Info implements index.Store. How much room the catalogue takes is not known.
func (s *Store) Info(ctx context.Context) (index.Info, error) {
	n, err := s.Count(ctx, nil)
	if err != nil {
		return index.Info{}, err
	}
	return index.Info{Kind: "weaviate", Space: s.space, Counts: n}, nil
}

// Count implements index.Store.
func (s *Store) Count(ctx context.Context, filter index.Filter) (index.Counts, error) {
	if err := filter.Check(); err != nil {
		return index.Counts{}, err
	}
	var n index.Counts
	err := s.call(ctx, "count", func() (err error) {
		if n.Works, err = s.client.count(ctx, where(kindWork, filter)); err != nil {
			return err
		}
		n.Photos, err = s.client.count(ctx, where(kindPhoto, filter))
		return err
	})
	if err != nil {
		return index.Counts{}, err
	}
	return n, nil
}

func invalid(format string, args ...any) error {
	return &index.Error{Kind: index.Invalid, Err: fmt.Errorf(format, args...)}
}

func notFound(format string, args ...any) error {
	return &index.Error{Kind: index.NotFound, Err: fmt.Errorf(format, args...)}
}
