// Package staging puts models into a repository as a whole or not at all, and cleans up after those
// who were killed on the way.
package staging

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Folder is a hidden folder of a repository, in which one model is made.
type Folder struct {
	// Path is itself a repository, of that model alone.
	Path       string
	repository string
	lock       *os.File
}

const (
	// prefix hides a folder from Triton and from modelrepo.
	prefix = ".adding-"
	// replaced is where in a Folder a model lies that had to go.
	replaced = ".replaced"
)

// Begin makes a Folder, which End removes. First it removes those that nobody works in any more; a model
// whose replacement was cut short comes back.
func Begin(repository string) (_ *Folder, err error) {
	// Nobody may see a folder that is made but not locked yet.
	door, err := os.Open(repository)
	if err != nil {
		return nil, err
	}
	defer door.Close()
	if err := lock(door, true); err == nil {
		if err := clean(repository); err != nil {
			return nil, fmt.Errorf("removing what was left of a model that was being added: %w", err)
		}
	} // otherwise locks do not work here, and who is still at work cannot be told
	f := &Folder{repository: repository}
	if f.Path, err = os.MkdirTemp(repository, prefix); err != nil {
		return nil, err
	}
	if f.lock, err = os.Open(f.Path); err != nil {
		return nil, errors.Join(err, os.Remove(f.Path))
	}
	_ = lock(f.lock, true) // fails only where nobody cleans
	return f, nil
}

// Place moves the model's folder of this name out of f into the repository. What has the name there goes.
func (f *Folder) Place(name string) error {
	made, target := filepath.Join(f.Path, name), filepath.Join(f.repository, name)
	aside := filepath.Join(f.Path, replaced, name)
	if err := os.Mkdir(filepath.Dir(aside), 0o755); err != nil {
		return err
	}
	if err := os.Rename(target, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	} else if err != nil {
		return os.Rename(made, target)
	}
	if err := os.Rename(made, target); err != nil {
		return errors.Join(err, os.Rename(aside, target))
	}
	return nil
}

// End removes the folder with all that is still in it.
func (f *Folder) End() error { return errors.Join(os.RemoveAll(f.Path), f.lock.Close()) }

// clean removes the folders that nobody has locked.
func clean(repository string) error {
	left, err := filepath.Glob(filepath.Join(repository, prefix+"*"))
	if err != nil {
		return err
	}
	for _, path := range left {
		if err := cleanOne(repository, path); err != nil {
			return err
		}
	}
	return nil
}

func cleanOne(repository, path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer folder.Close()
	if lock(folder, false) != nil {
		return nil // somebody works in it
	}
	gone, err := os.ReadDir(filepath.Join(path, replaced))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, model := range gone {
		target := filepath.Join(repository, model.Name())
		if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
			continue // its replacement is in place
		}
		if err := os.Rename(filepath.Join(path, replaced, model.Name()), target); err != nil {
			return err
		}
	}
	return os.RemoveAll(path)
}
