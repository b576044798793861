package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/lexicam/lexicrop/index"
)

// Replace puts the file of next in the place of this catalogue's, whose content
// is gone then, and closes both. Whoever opens the catalogue finds the one or
// the other as a whole, also when the machine stops meanwhile; nobody can open
// it in between. Both files must be on one file system.
func (s *Store) Replace(next *Store) error {
	if err := next.Close(); err != nil {
		return err
	}
	s.stop()
	s.using.Lock()
	defer s.using.Unlock()
	if s.closed {
		return &index.Error{Kind: index.Closed, Err: errors.New(s.path)}
	}
	s.closed = true
	s.memory = nil
	held := s.lock
	s.lock = nil // not released yet
	err := s.release()
	if err == nil {
		err = swap(next.path, s.path)
	}
	if err = errors.Join(err, held.release()); err != nil {
		return failure(context.Background(), "replace "+s.path, err)
	}
	return nil
}

// swap renames a file that was closed over another that was.
func swap(from, to string) error {
	for _, path := range []string{from, to} {
		// SQLite would take what is written there for a part of the other file.
		if _, err := os.Stat(path + "-wal"); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fmt.Errorf("%s-wal is still there", path), err)
		}
	}
	if err := os.Rename(from, to); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close(), removeIfThere(from+".lock"))
}

// Remove deletes the catalogue in the file path with all that SQLite keeps
// beside it. It fails with Locked while somebody has it.
func Remove(ctx context.Context, path string) error {
	l, err := acquire(ctx, path+".lock")
	if err != nil {
		return failure(ctx, "remove "+path, err)
	}
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		err = errors.Join(err, removeIfThere(path+suffix))
	}
	if err = errors.Join(err, l.release()); err != nil {
		return failure(ctx, "remove "+path, err)
	}
	return nil
}

func removeIfThere(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
