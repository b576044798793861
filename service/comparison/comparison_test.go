package comparison

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/service"
)

// answers are those of two models by what the photo says, and of whom was asked in which order.
type answers struct {
	crops   map[string][2][]service.Detection
	vectors map[string][2][]float32
	spaces  [2]string
	asked   []service.Role
}

var errBroken = errors.New("broken")

func (a *answers) turn(ctx context.Context, task modelrepo.Task) int {
	role := service.RoleAsked(ctx, task)
	a.asked = append(a.asked, role)
	return slices.Index([]service.Role{service.RolePrimary, service.RoleShadow}, role)
}

func (a *answers) Crop(ctx context.Context, photo []byte, _ service.CropOptions) (*service.Crop, error) {
	found, ok := a.crops[string(photo)]
	if !ok {
		return nil, errBroken
	}
	which := a.turn(ctx, modelrepo.TaskDetector)
	return &service.Crop{Detections: found[which], Timings: []service.Timing{
		{Stage: service.StageDecode, Duration: time.Hour}, {Stage: service.StageInfer, Duration: time.Duration(1+which) * time.Millisecond},
	}}, nil
}

func (a *answers) Embed(ctx context.Context, photo []byte, _ service.EmbedOptions) (*service.Embedding, error) {
	which := a.turn(ctx, modelrepo.TaskEmbedder)
	e := &service.Embedding{Vector: a.vectors[string(photo)][which]}
	e.Space.Name = a.spaces[which]
	return e, nil
}

// files writes photos that consist of their names.
func files(t *testing.T, names ...string) []string {
	t.Helper()
	folder := t.TempDir()
	for i, name := range names {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		names[i] = path
	}
	return names
}

func TestDetectorsAreComparedByTheirFirstWorks(t *testing.T) {
	box := func(x1, x2 float64) []service.Detection {
		return []service.Detection{{Label: "painting", Box: service.Box{X1: x1, X2: x2, Y2: 1}}}
	}
	a := &answers{crops: map[string][2][]service.Detection{
		"same": {box(0, 4), box(0, 4)}, "half": {box(0, 4), box(2, 4)}, "apart": {box(0, 1), box(2, 4)},
		"one": {box(0, 4), nil}, "none": {nil, nil},
	}}
	r, err := Detectors(t.Context(), a, files(t, "same", "half", "apart", "one", "none", "unreadable"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, p := range r.Pairs {
		got[filepath.Base(p.File)] = p.Agreement
	}
	if d := cmp.Diff(map[string]float64{"same": 1, "half": 0.5, "apart": 0, "one": 0, "none": 1}, got); d != "" {
		t.Error(d)
	}
	if !slices.IsSorted(r.Agreements()) {
		t.Errorf("not the worst first: %v", r.Agreements())
	}
	if share := r.Share(func(p Pair) bool { return p.Agreement >= SameIoU }); share != 0.6 {
		t.Errorf("the same work in %v of the photos", share)
	}
	if len(r.Failures) != 1 || !errors.Is(r.Failures[0].Err, errBroken) || filepath.Base(r.Failures[0].File) != "unreadable" {
		t.Errorf("failed: %v", r.Failures)
	}
	for which, want := range []time.Duration{time.Millisecond, 2 * time.Millisecond} {
		if times := r.Inferences(which); len(times) != 5 || times[0] != want || times[4] != want {
			t.Errorf("times of %d: %v", which, times)
		}
	}
	first, second := service.RolePrimary, service.RoleShadow
	if want := []service.Role{first, second, second, first, first, second}; !slices.Equal(a.asked[:6], want) {
		t.Errorf("asked in the order %v", a.asked)
	}
}

func TestEmbeddersAreComparedByVectorsAndNeighbours(t *testing.T) {
	vectors := map[string][2][]float32{
		"a": {{1, 0}, {1, 0}}, "b": {{0.8, 0.6}, {0, 1}}, "c": {{0, 1}, {0.6, 0.8}},
	}
	for _, test := range []struct {
		name    string
		spaces  [2]string
		cosines map[string]float64
	}{
		{"of one space", [2]string{"s", "s"}, map[string]float64{"a": 1, "b": 0.6, "c": 0.8}},
		{"of two spaces", [2]string{"s", "t"}, map[string]float64{"a": math.NaN(), "b": math.NaN(), "c": math.NaN()}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := Embedders(t.Context(), &answers{vectors: vectors, spaces: test.spaces}, files(t, "a", "b", "c"))
			if err != nil {
				t.Fatal(err)
			}
			nearest := map[string][2]string{}
			for _, p := range r.Pairs {
				name := filepath.Base(p.File)
				nearest[name] = [2]string{filepath.Base(p.Nearest[0]), filepath.Base(p.Nearest[1])}
				if want := test.cosines[name]; math.Abs(p.Agreement-want) > 1e-6 || math.IsNaN(want) != math.IsNaN(p.Agreement) {
					t.Errorf("%s: cosine %v, want %v", name, p.Agreement, want)
				}
			}
			// By hand: the first model has b between a and c, and nearer to a; the second c between a and b.
			want := map[string][2]string{"a": {"b", "c"}, "b": {"a", "c"}, "c": {"b", "b"}}
			if d := cmp.Diff(want, nearest); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestAComparisonEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Detectors(ctx, &answers{crops: map[string][2][]service.Detection{"a": {}}}, files(t, "a")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestQuantile(t *testing.T) {
	values := []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for q, want := range map[float64]int{0: 1, 0.05: 1, 0.5: 6, 0.95: 10, 1: 10} {
		if got := Quantile(values, q); got != want {
			t.Errorf("quantile %v is %d, want %d", q, got, want)
		}
	}
	if got := Quantile([]int(nil), 0.5); got != 0 {
		t.Errorf("of nothing: %d", got)
	}
}
