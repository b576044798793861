package modelrepo

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheModelsOfThisRepositoryAreTrue(t *testing.T) {
	models, err := Open("models")
	if err != nil {
		t.Fatal(err)
	}
	if len(models) == 0 {
		t.Fatal("no models")
	}
	for _, m := range models {
		t.Run(m.Name, func(t *testing.T) {
			if err := m.Verify(); err != nil {
				t.Error(err)
			}
			if m.Profiles["gpu"] == nil || m.Profiles["cpu"] == nil {
				t.Errorf("profiles %v", m.Profiles)
			}
		})
	}
}

func TestEveryModelHasTheSamePythonModel(t *testing.T) {
	files, err := filepath.Glob("models/*/*/model.py")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(text, PythonModel()) {
			t.Errorf("%s is not the text of PythonModel: %v", file, err)
		}
	}
}

// repository writes a repository of one good model and returns the folders.
func repository(t *testing.T) (dir, model string) {
	t.Helper()
	dir = t.TempDir()
	model = filepath.Join(dir, "original")
	good := torchvision + parameters(torchvisionParameters...)
	write(t, filepath.Join(model, "1", ModelFile), "network one")
	write(t, filepath.Join(model, "2", ModelFile), "network two")
	write(t, filepath.Join(model, "config.pbtxt"), good)
	right, err := Fingerprint(strings.NewReader("network two"), config(t, good))
	if err != nil {
		t.Fatal(err)
	}
	good = strings.ReplaceAll(good, fingerprint, right)
	write(t, filepath.Join(model, "config.pbtxt"), good)
	write(t, filepath.Join(model, "configs", "gpu.pbtxt"), `backend: "onnxruntime"`+good)
	return dir, model
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func replace(t *testing.T, path, old, new string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s has no %q", path, old)
	}
	write(t, path, strings.ReplaceAll(string(text), old, new))
}

func TestVerifyFindsWhatIsWrong(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(t *testing.T, model string)
		want  string // empty: nothing
	}{
		{"nothing", func(*testing.T, string) {}, ""},
		{"an unknown field", func(t *testing.T, m string) {
			replace(t, filepath.Join(m, "config.pbtxt"), `name: "original"`, `name: "original" model_operations { op_library_filename: "x" }`)
		}, ""},
		{"an old version's file", func(t *testing.T, m string) { write(t, filepath.Join(m, "1", ModelFile), "changed") }, ""},
		{"the newest version's file", func(t *testing.T, m string) { write(t, filepath.Join(m, "2", ModelFile), "changed") }, "parameter fingerprint is"},
		{"a contract parameter", func(t *testing.T, m string) { replace(t, filepath.Join(m, "config.pbtxt"), "stretch", "letterbox") }, "parameter fingerprint is"},
		{"a backend's parameter", func(t *testing.T, m string) {
			replace(t, filepath.Join(m, "config.pbtxt"), `name: "original"`, `name: "original" parameters { key: "NUM_STREAMS" value { string_value: "1" } }`)
		}, ""},
		{"no model file", func(_ *testing.T, m string) { os.Remove(filepath.Join(m, "2", ModelFile)) }, "no such file"},
		{"no version", func(_ *testing.T, m string) { os.RemoveAll(filepath.Join(m, "1")); os.RemoveAll(filepath.Join(m, "2")) }, "no version folder"},
		{"a config that does not parse", func(t *testing.T, m string) { write(t, filepath.Join(m, "config.pbtxt"), "input {") }, "config.pbtxt"},
		{"a profile that does not parse", func(t *testing.T, m string) { write(t, filepath.Join(m, "configs", "gpu.pbtxt"), "input {") }, "gpu.pbtxt"},
		{"another name", func(t *testing.T, m string) {
			replace(t, filepath.Join(m, "config.pbtxt"), `name: "original"`, `name: "other"`)
		}, `name is "other", but the folder is "original"`},
		{"a profile with another contract", func(t *testing.T, m string) {
			replace(t, filepath.Join(m, "configs", "gpu.pbtxt"), "stretch", "letterbox")
		}, `configs/gpu.pbtxt: parameter resize is "letterbox" where config.pbtxt has "stretch"`},
		{"a profile with other tensors", func(t *testing.T, m string) { replace(t, filepath.Join(m, "configs", "gpu.pbtxt"), "-1, 4", "10, 4") }, "inputs or outputs are not those"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, model := repository(t)
			test.spoil(t, model)
			models, err := Open(dir)
			if err != nil || len(models) != 1 {
				t.Fatalf("%d models, %v", len(models), err)
			}
			err = models[0].Verify()
			switch {
			case test.want == "" && err != nil:
				t.Error(err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v\nwant in it: %s", err, test.want)
			}
		})
	}
}

func TestOpenPassesOverWhatIsNoModel(t *testing.T) {
	dir, _ := repository(t)
	write(t, filepath.Join(dir, "README.md"), "text")
	write(t, filepath.Join(dir, "empty", "note"), "text")
	models, err := Open(dir)
	if err != nil || len(models) != 1 || models[0].Name != "original" || len(models[0].Versions) != 2 {
		t.Errorf("%+v, %v", models, err)
	}
	if _, err := Open(filepath.Join(dir, "nothing")); err == nil {
		t.Error("a folder that is not there was opened")
	}
}

func TestFingerprintIsAsDocumented(t *testing.T) {
	c := config(t, parameters("task", "embedder", "space", "s", "NUM_STREAMS", "1", "fingerprint", "x"))
	got, err := Fingerprint(strings.NewReader("abc"), c)
	// printf 'file=%s\nspace=s\ntask=embedder\n' "$(printf abc | sha256sum | cut -d' ' -f1)" | sha256sum
	const want = "19b49bcf0a089cb6f0903ce907c8e5ec7ef485cd0627d2e0b5039e5fe8132e42"
	if err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
}
