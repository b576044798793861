package weaviate

import (
	"encoding/hex"
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/index/indextest"
	"github.com/lexicam/lexicrop/index/weaviate/weaviatetest"
)

// server is shared by the tests; each has a collection of its own.
var server *weaviatetest.Server

func TestMain(m *testing.M) {
	status := weaviatetest.Run("../../build/weaviate", &server, m.Run)
	if err := goleak.Find(); status == 0 && err != nil {
		fmt.Fprintf(os.Stderr, "FAIL: %v\n", err)
		status = 1
	}
	os.Exit(status)
}

func TestStore(t *testing.T) {
	needServer(t)
	indextest.Run(t, func(t testing.TB, name string, space index.Space) (index.Store, error) {
		return Open(t.Context(), Options{URL: server.URL(), APIKey: weaviatetest.APIKey, Collection: "Suite_" + hex.EncodeToString([]byte(name)), Space: space})
	})
}

func needServer(t testing.TB) {
	t.Helper()
	if server == nil {
		t.Skip("LEXICROP_SKIP_WEAVIATE is set")
	}
}

var collections atomic.Int32

// fresh are options for a collection that is not there yet, of testSpace.
func fresh(t testing.TB) Options {
	t.Helper()
	needServer(t)
	return on(server)
}

func on(s *weaviatetest.Server) Options {
	return Options{URL: s.URL(), APIKey: weaviatetest.APIKey, Collection: fmt.Sprint("Test", collections.Add(1)), Space: testSpace}
}

// startServer starts a server for one test, to be killed or told otherwise.
func startServer(t testing.TB, options ...string) *weaviatetest.Server {
	t.Helper()
	needServer(t)
	s, err := weaviatetest.Start("../../build/weaviate", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var testSpace = index.Space{Name: "test", Fingerprint: "f", Dimension: 3}

func openTest(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func testEntry(id string, vector ...float32) index.Entry {
	return index.Entry{
		Work:   index.Work{ID: id, Title: "Title of " + id, Metadata: index.Metadata{"a": "b"}},
		Photos: []index.Photo{{ID: "1", Vector: vector, Hash: "hash of " + id, Crop: []byte("crop of " + id)}},
	}
}

func put(t testing.TB, s *Store, entries ...index.Entry) {
	t.Helper()
	if err := s.Upsert(t.Context(), s.space, entries...); err != nil {
		t.Fatal(err)
	}
}
