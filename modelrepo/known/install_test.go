package known

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/local"
)

const tritonFolder = "../../build/triton"

func options(t *testing.T) Options {
	t.Helper()
	if os.Getenv("LEXICROP_SKIP_TRITON") != "" {
		t.Skip("LEXICROP_SKIP_TRITON is set")
	}
	return Options{Repository: t.TempDir(), Python: filepath.Join(tritonFolder, "bin", "python")}
}

// Every model is fetched from where it is published, and a real Triton runs it.
func TestKnownModelsAreInstalledAndAnswer(t *testing.T) {
	o := options(t)
	var names []string
	for _, m := range Models() {
		installed, err := m.Install(t.Context(), o)
		if err != nil {
			t.Fatalf("%v (LEXICROP_SKIP_TRITON=1 leaves this test out)", err)
		}
		if err := installed.Verify(); err != nil {
			t.Error(err)
		}
		if len(installed.Profiles) != 2 || installed.Contract.Task != modelrepo.TaskEmbedder {
			t.Errorf("%s has %d profiles and the task %s", m.Name, len(installed.Profiles), installed.Contract.Task)
		}
		for _, licence := range m.source.licences {
			text, err := os.ReadFile(filepath.Join(installed.Dir, filepath.Base(licence)))
			if err != nil || len(text) == 0 {
				t.Errorf("the licence of %s: %v", m.Name, err)
			}
		}
		names = append(names, m.Name)
	}
	left, err := filepath.Glob(filepath.Join(o.Repository, ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the repository: %v, %v", left, err)
	}
	isIgnoredByGit(t, o.Repository)

	server, err := local.Start(t.Context(), local.Options{
		Install: tritonFolder, Repository: o.Repository, Models: names, Instances: 1, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		server.Stop(ctx)
	}()
	client, err := triton.Dial(triton.Options{Address: server.Address()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, name := range names {
		answersAVector(t, client, name)
	}
}

func answersAVector(t *testing.T, client *triton.Client, name string) {
	t.Helper()
	config, err := client.ModelConfig(t.Context(), name, "")
	if err != nil {
		t.Fatal(err)
	}
	contract, err := modelrepo.ReadContract(config)
	if err != nil {
		t.Fatal(err)
	}
	picture := make([]byte, contract.Input.Width*contract.Input.Height*3)
	for i := range picture {
		picture[i] = byte(i / 1000)
	}
	response, err := client.Infer(t.Context(), &triton.Request{
		Model: name, Outputs: contract.Outputs,
		Inputs: []triton.Tensor{{Name: contract.Input.Name, DType: contract.Input.DType, Shape: contract.Input.Shape, Data: picture}},
	})
	if err != nil {
		t.Fatal(err)
	}
	vector, err := response.Outputs[0].Float32s(nil)
	if err != nil {
		t.Fatal(err)
	}
	var square float64
	for _, x := range vector {
		square += float64(x) * float64(x)
	}
	if len(vector) != contract.Dimensions || math.Abs(math.Sqrt(square)-1) > 1e-3 {
		t.Errorf("%s answers %d values of length %g", name, len(vector), math.Sqrt(square))
	}
}

// isIgnoredByGit makes the repository folder a work tree and asks what git sees.
func isIgnoredByGit(t *testing.T, folder string) {
	t.Helper()
	git := func(arguments ...string) string {
		command := exec.CommandContext(t.Context(), "git", append([]string{"-C", folder}, arguments...)...)
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("git: %v: %s", err, out)
		}
		return string(out)
	}
	git("init", "--quiet")
	if seen := git("status", "--porcelain"); seen != "" {
		t.Errorf("git would take what may not be passed on: %s", seen)
	}
}

func TestInstallingAgainChangesNothing(t *testing.T) {
	o := options(t)
	m, _ := Find("sscd-small")
	first, err := m.Install(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	o.Python = "there is none" // so nothing is fetched
	again, err := m.Install(t.Context(), o)
	if err != nil || again.Contract.Fingerprint != first.Contract.Fingerprint {
		t.Errorf("the second time: %v", err)
	}
}

func TestNothingIsLeftOfAnInstallationThatFails(t *testing.T) {
	m, _ := Find("sscd-small")
	tests := []struct {
		name  string
		spoil func(*Model, *Options)
		fault string
	}{
		{"another file than the one known", func(m *Model, _ *Options) { m.source.sha256 = strings.Repeat("0", 64) }, "hash"},
		{"no such file in the wheel", func(m *Model, _ *Options) { m.source.model = "other.onnx" }, "other.onnx"},
		{"no Python", func(_ *Model, o *Options) { o.Python = "there-is-none" }, "there-is-none"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o, m := options(t), m
			m.source.licences = slices.Clone(m.source.licences)
			test.spoil(&m, &o)
			if _, err := m.Install(t.Context(), o); err == nil || !strings.Contains(strings.ToLower(err.Error()), test.fault) {
				t.Errorf("the error is %v, want one about %s", err, test.fault)
			}
			if left, err := os.ReadDir(o.Repository); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
}

func TestInstallLeavesAForeignFolderAlone(t *testing.T) {
	o := Options{Repository: t.TempDir(), Python: "there-is-none"}
	mine := filepath.Join(o.Repository, "sscd", "notes.txt")
	if err := os.MkdirAll(filepath.Dir(mine), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mine, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	m, _ := Find("sscd")
	if _, err := m.Install(t.Context(), o); !errors.Is(err, ErrExists) {
		t.Errorf("the error is %v", err)
	}
	if text, err := os.ReadFile(mine); err != nil || string(text) != "mine" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestFind(t *testing.T) {
	if _, ok := Find("no such model"); ok {
		t.Error("found")
	}
}
