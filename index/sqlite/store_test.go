package sqlite

import (
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/index/indextest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStore(t *testing.T) {
	folder := t.TempDir()
	indextest.Run(t, func(t testing.TB, name string, space index.Space) (index.Store, error) {
		return Open(t.Context(), filepath.Join(folder, name+" %?#.db"), Options{Space: space})
	})
}
