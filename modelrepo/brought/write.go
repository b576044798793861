package brought

import (
	"context"
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"google.golang.org/protobuf/encoding/prototext"

	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/modelrepo/staging"
	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/inference"
)

// ErrExists says that the repository has a model of this name.
var ErrExists = errors.New("there is a model of this name already")

// Add makes the model of a draft, with the network in file, and puts it in the repository: as a whole,
// and only if check, which is given a repository of this model alone, has nothing against it.
// Otherwise nothing is left. force has it take the place of a model of the same name.
func (d *Draft) Add(ctx context.Context, repository, file string, force bool, check func(repository string) error) (err error) {
	target := filepath.Join(repository, d.Name)
	if _, err := os.Lstat(target); err == nil && !force {
		return fmt.Errorf("%s: %w (--force replaces it)", target, ErrExists)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	staged, err := staging.Begin(repository)
	if err != nil {
		return fmt.Errorf("adding to the repository: %w", err)
	}
	defer func() { err = errors.Join(err, staged.End()) }()
	if err := d.write(ctx, filepath.Join(staged.Path, d.Name), file); err != nil {
		return err
	}
	if err := check(staged.Path); err != nil {
		return err
	}
	return staged.Place(d.Name)
}

// write makes the model's folder.
func (d *Draft) write(ctx context.Context, folder, file string) error {
	for _, part := range []string{"1", "configs"} {
		if err := os.MkdirAll(filepath.Join(folder, part), 0o755); err != nil {
			return err
		}
	}
	network := filepath.Join(folder, "1", modelrepo.ModelFile)
	if err := copyFile(ctx, network, file); err != nil {
		return err
	}
	fingerprint, err := d.fingerprint(network)
	if err != nil {
		return err
	}
	for profile, to := range map[string]string{"config": "config.pbtxt", "cpu": "configs/cpu.pbtxt", "gpu": "configs/gpu.pbtxt"} {
		text, err := d.render(profile, fingerprint)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(folder, to), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(folder, "1", "model.py"), modelrepo.PythonModel(), 0o644)
}

func (d *Draft) fingerprint(network string) (string, error) {
	_, config, err := d.contract(fmt.Sprintf("%x", sha256.Sum256(nil)))
	if err != nil {
		return "", err
	}
	file, err := os.Open(network)
	if err != nil {
		return "", err
	}
	defer file.Close()
	return modelrepo.Fingerprint(file, config)
}

// contract is what modelrepo reads of the draft with a fingerprint.
func (d *Draft) contract(fingerprint string) (modelrepo.Contract, *inference.ModelConfig, error) {
	text, err := d.render("config", fingerprint)
	if err != nil {
		return modelrepo.Contract{}, nil, err
	}
	config := &inference.ModelConfig{}
	if err := prototext.Unmarshal([]byte(text), config); err != nil {
		return modelrepo.Contract{}, nil, fmt.Errorf("the configuration of %s: %w", d.Name, err)
	}
	config.Name = d.Name
	contract, err := modelrepo.ReadContract(config)
	return contract, config, err
}

//go:embed profiles/*.pbtxt
var profiles embed.FS

// render writes the configuration of a profile.
func (d *Draft) render(profile, fingerprint string) (string, error) {
	templates, err := template.New("").Funcs(template.FuncMap{
		"quote": strconv.Quote,
		"type":  func(t triton.DType) string { return "TYPE_" + string(t) },
		"dims":  showDims,
	}).ParseFS(profiles, "profiles/*.pbtxt")
	if err != nil {
		return "", err
	}
	whole := *d
	whole.Parameters = append(slices.Clip(whole.Parameters), Parameter{modelrepo.KeyFingerprint, fingerprint})
	var text strings.Builder
	err = templates.ExecuteTemplate(&text, profile+".pbtxt", &whole)
	return text.String(), err
}

func showDims(dims []int64) string {
	list := make([]string, len(dims))
	for i, d := range dims {
		list[i] = strconv.FormatInt(d, 10)
	}
	return "[ " + strings.Join(list, ", ") + " ]"
}

// copyFile ends early with ctx: a network may have gigabytes.
func copyFile(ctx context.Context, to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, readerUntil{ctx, in})
	return errors.Join(err, out.Close())
}

// readerUntil fails once its context has ended.
type readerUntil struct {
	ctx context.Context
	io.Reader
}

func (r readerUntil) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}
