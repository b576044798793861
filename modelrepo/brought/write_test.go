package brought

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/modelrepo/onnx/onnxtest"
)

// written is a draft with its network in a file.
func written(t *testing.T) (d *Draft, network string) {
	t.Helper()
	model := onnxtest.Model{Inputs: torchvisionInput, Outputs: torchvisionOutput}
	network = filepath.Join(t.TempDir(), "network.onnx")
	if err := os.WriteFile(network, model.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := NewDraft("mine", file(t, model.Inputs, model.Outputs), Options{Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	return d, network
}

func TestAddWritesAModelThatIsRight(t *testing.T) {
	d, network := written(t)
	repository := t.TempDir()
	checked := ""
	err := d.Add(t.Context(), repository, network, false, func(staged string) error {
		models, err := modelrepo.Open(staged)
		if err != nil || len(models) != 1 {
			return errors.Join(err, errors.New("not one model"))
		}
		checked = models[0].Name
		return models[0].Verify()
	})
	if err != nil || checked != "mine" {
		t.Fatalf("checked %q, %v", checked, err)
	}
	models, err := modelrepo.Open(repository)
	if err != nil || len(models) != 1 {
		t.Fatalf("%d models, %v", len(models), err)
	}
	m := models[0]
	if err := m.Verify(); err != nil || m.Profiles["gpu"] == nil || m.Profiles["cpu"] == nil || len(m.Versions) != 1 {
		t.Errorf("%v, profiles %v, versions %v", err, m.Profiles, m.Versions)
	}
	same := func(a, b string) bool {
		left, err := os.ReadFile(a)
		if err != nil {
			t.Fatal(err)
		}
		right, err := os.ReadFile(b)
		return err == nil && string(left) == string(right)
	}
	if !same(network, filepath.Join(m.Dir, "1", "model.onnx")) || !same("../models/detector/1/model.py", filepath.Join(m.Dir, "1", "model.py")) {
		t.Error("the network or model.py is not what it was")
	}
	onlyHas(t, repository, "mine")
}

// Whatever hinders it, the repository is afterwards what it was before.
func TestAddThatFailsLeavesNothing(t *testing.T) {
	refused := errors.New("the network does not answer")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, test := range []struct {
		name    string
		ctx     context.Context
		network string // in place of the right one
		check   func(string) error
		want    string
	}{
		{"a check that fails", t.Context(), "", func(string) error { return refused }, "does not answer"},
		{"a network that is gone", t.Context(), "nowhere.onnx", nil, "no such file"},
		{"somebody who does not want to wait", ended, "", nil, "context canceled"},
	} {
		for _, force := range []bool{false, true} {
			t.Run(test.name, func(t *testing.T) {
				d, network := written(t)
				if test.network != "" {
					network = test.network
				}
				repository := t.TempDir()
				if force {
					old(t, repository)
				}
				err := d.Add(test.ctx, repository, network, force, test.check)
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("the error is %v, want %s", err, test.want)
				}
				if force {
					onlyHas(t, repository, "mine")
					isOld(t, repository, true)
				} else {
					onlyHas(t, repository)
				}
			})
		}
	}
}

func TestAddReplacesOnlyByForce(t *testing.T) {
	d, network := written(t)
	repository := t.TempDir()
	old(t, repository)
	fine := func(string) error { return nil }
	if err := d.Add(t.Context(), repository, network, false, fine); !errors.Is(err, ErrExists) {
		t.Errorf("without force: %v", err)
	}
	isOld(t, repository, true)
	if err := d.Add(t.Context(), repository, network, true, fine); err != nil {
		t.Errorf("by force: %v", err)
	}
	isOld(t, repository, false)
	onlyHas(t, repository, "mine")
}

func old(t *testing.T, repository string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(repository, "mine"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(repository, "mine", "old"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

func isOld(t *testing.T, repository string, want bool) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(repository, "mine", "old")); (err == nil) != want {
		t.Errorf("the old model is there: %v, want %v", err == nil, want)
	}
}

func onlyHas(t *testing.T, folder string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s has %v, want %v", folder, got, want)
	}
}
