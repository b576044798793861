// Package indextest checks that a store does what index.Store says.
package indextest

import (
	"testing"

	"github.com/lexicam/lexicrop/index"
)

// Open opens the store called name for vectors of space, and makes it if it is
// not there. It does not close it: tests open a name again after Close and
// expect what they left.
type Open func(t testing.TB, name string, space index.Space) (index.Store, error)

// Run checks the stores that open opens.
func Run(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *fixture)
	}{
		{"a new store is empty", testEmpty},
		{"what was put comes back", testRoundTrip},
		{"upsert again changes nothing", testIdempotent},
		{"upsert replaces what it names and leaves the rest", testReplace},
		{"the same content in a work is one photo", testSameHash},
		{"delete", testDelete},
		{"delete where", testDeleteWhere},
		{"search orders by cosine, then id", testSearchOrder},
		{"search groups by work", testSearchGroups},
		{"search with a threshold", testSearchThreshold},
		{"search and count with filters", testFilters},
		{"search finds what was acknowledged a moment ago", testConcurrent},
		{"the largest that is taken", testLargest},
		{"what cannot be right is refused", testRefusals},
		{"what cannot be there is not found", testNoIDs},
		{"vectors of another space are refused", testSpace},
		{"scan goes by pages", testScan},
		{"a context that ended", testContext},
		{"open again", testReopen},
		{"closed", testClosed},
		{"near duplicates", testNearDuplicates},
		{"any calls, compared with a model", testModel},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, &fixture{open: open, name: c.name}) })
	}
}

// fixture opens the store of one test.
type fixture struct {
	open Open
	name string
}

// space is that of the tests.
var space = index.Space{Name: "test space", Fingerprint: "f0", Dimension: 4}

// store opens the store, and has it closed at the end.
func (f *fixture) store(t *testing.T) index.Store {
	t.Helper()
	s, err := f.open(t, f.name, space)
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
