package rest

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/preprocess"
	"github.com/lexicam/lexicrop/service/evaluation"
	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/local"
)

// onTriton serves on a real local Triton with the detector of the repository.
func onTriton(t testing.TB, cfg *config.Config) *testServer {
	t.Helper()
	return newTestServer(t, cfg, realTriton(t, "detector"))
}

// realTriton starts a local Triton with models of the repository.
func realTriton(t testing.TB, models ...string) triton.Options {
	t.Helper()
	if os.Getenv("LEXICROP_SKIP_TRITON") == "1" {
		t.Skip("LEXICROP_SKIP_TRITON is set")
	}
	// Triton outlives the test's output by a few lines.
	log := slog.New(slog.DiscardHandler)
	server, err := local.Start(t.Context(), local.Options{
		Install: "../../build/triton", Repository: "../../modelrepo/models", Models: models, Logger: log,
	})
	if err != nil {
		t.Fatalf("%v\n(`make setup` installs it; LEXICROP_SKIP_TRITON=1 does without)", err)
	}
	t.Cleanup(func() { server.Stop(context.WithoutCancel(t.Context())) })
	return triton.Options{Address: server.Address(), LoadConfig: server.LoadConfig}
}

// The whole way on photos of gallery walls and objects that people have labelled. The bounds are
// what a broken way would not reach, not what the detector is worth: docs/models says that.
func TestCropOnARealTriton(t *testing.T) {
	data := testData(t)
	s := onTriton(t, config.Default())
	for set, least := range map[string]float64{"val": 0.8, "val_objects": 0.6, "val_crowded": 0.6} {
		photos, err := evaluation.Load(filepath.Join(data, set))
		if err != nil {
			t.Fatal(err)
		}
		report, err := evaluation.Evaluate(t.Context(), s.service, photos)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d photos, mean IoU %.3f, %d missed; with the best-matching work %.3f, %d missed",
			set, report.Photos, report.MeanIoU, report.Misses, report.AnyMeanIoU, report.AnyMisses)
		if report.AnyMeanIoU < least {
			t.Errorf("%s: the mean IoU is %.3f, the worst are %+v", set, report.AnyMeanIoU, report.Worst[:3])
		}
	}
}

// What everyone has can be tried by everyone: the repository's own scene, of two paintings by Monet
// and Sisley. Triton dies in between, and the service recovers by itself.
func TestTheSceneOfTheREADMEAndTheDeathOfTriton(t *testing.T) {
	s := onTriton(t, config.Default())
	scene := read(t, "../../docs/images/scene.jpg")
	monet := preprocess.Box{X1: 250, Y1: 473, X2: 843, Y2: 907}
	ask := func() answer { return s.post(t, "/v1/crop?detections=2", "image/jpeg", scene) }
	check := func(a answer) {
		t.Helper()
		got := decode[api.CropResult](t, a, http.StatusOK)
		if len(got.Detections) == 0 || got.Detections[0].Label != "painting" {
			t.Fatalf("the detections are %+v", got.Detections)
		}
		b := got.Detections[0].Box
		if iou := monet.IoU(preprocess.Box{X1: b[0], Y1: b[1], X2: b[2], Y2: b[3]}); iou < 0.85 {
			t.Errorf("the IoU with the larger painting is %.2f: %v", iou, b)
		}
	}
	check(ask())
	killTriton(t)
	eventually(t, "the death shows as 503", func() bool {
		a := ask()
		if a.StatusCode != http.StatusOK && a.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("status %d: %s", a.StatusCode, a.body)
		}
		return a.StatusCode == http.StatusServiceUnavailable
	})
	eventually(t, "the service is back", func() bool { return ask().StatusCode == http.StatusOK })
	check(ask())
	s.settle(t)
}

// killTriton kills the tritonserver that is a child of this process.
func killTriton(t *testing.T) {
	t.Helper()
	children, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range children {
		for pid := range strings.FieldsSeq(string(read(t, file))) {
			if !strings.Contains(string(read(t, "/proc/"+pid+"/cmdline")), "tritonserver") {
				continue
			}
			number, err := strconv.Atoi(pid)
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(number, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("there is no tritonserver to kill")
}
