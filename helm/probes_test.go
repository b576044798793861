package helm_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lexicam/lexicrop/triton/local"
)

// The real program, configured as in its pod, has the paths of the probes, and every metric and label that
// alerts and dashboard ask for.
func TestProbesAndMetricsAreThoseOfTheProgram(t *testing.T) {
	if os.Getenv("LEXICROP_SKIP_TRITON") != "" {
		t.Skip("LEXICROP_SKIP_TRITON is set")
	}
	triton, err := local.Start(t.Context(), local.Options{
		Install: "../build/triton", Repository: "../modelrepo/models", Models: []string{"detector", "embedder"}, Instances: 1,
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatalf("%v (`make setup` installs it; LEXICROP_SKIP_TRITON=1 does without)", err)
	}
	t.Cleanup(func() { triton.Stop(context.WithoutCancel(t.Context())) })
	objects := render(t, "--values", chart+"/ci/everything-values.yaml")
	container := serviceOf(t, objects).container(t, "lexicrop")
	folder := t.TempDir()
	config := find(t, objects, "ConfigMap", "crop").text("data", "lexicrop.yaml")
	if err := os.WriteFile(filepath.Join(folder, "lexicrop.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	public, admin := net.JoinHostPort("127.0.0.1", freePort(t)), net.JoinHostPort("127.0.0.1", freePort(t))
	cmd := exec.CommandContext(t.Context(), lexicrop(t), "serve", "--config", filepath.Join(folder, "lexicrop.yaml"))
	cmd.Env = []string{
		"LEXICROP_SERVER_ADDRESS=" + public, "LEXICROP_ADMIN_ADDRESS=" + admin, "LEXICROP_TRITON_ADDRESS=" + triton.Address(),
		"LEXICROP_SERVER_SHUTDOWN_DELAY=0s", "LEXICROP_INDEX_STORE=none",
	}
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		<-ended // its context has ended before
		if t.Failed() {
			t.Log(log.String())
		}
	})

	status := func(method, url string, body io.Reader) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), method, url, body)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return 0, err.Error()
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(answer)
	}
	for _, probe := range []string{"startupProbe", "livenessProbe", "readinessProbe"} {
		url := "http://" + admin + container.text(probe, "httpGet", "path")
		if port := container.text(probe, "httpGet", "port"); port != "admin" {
			t.Errorf("%s asks the port %s", probe, port)
		}
		got, answer := 0, ""
		for end := time.Now().Add(patience); got != http.StatusOK && got != http.StatusNotFound && time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			got, answer = status(http.MethodGet, url, http.NoBody)
		}
		if got != http.StatusOK {
			t.Fatalf("%s %s: %d: %s", probe, url, got, answer)
		}
	}

	photo, err := os.Open("../docs/images/scene.jpg")
	if err != nil {
		t.Fatal(err)
	}
	defer photo.Close()
	if got, answer := status(http.MethodPost, "http://"+public+"/v1/crop", photo); got != http.StatusOK {
		t.Errorf("a crop is answered %d: %s", got, answer)
	}
	_, metrics := status(http.MethodGet, "http://"+admin+"/metrics", http.NoBody)
	asked := 0
	for _, o := range objects {
		for _, query := range metric.FindAllStringSubmatch(jsonText(t, o), -1) {
			asked++
			name, labels := query[1], label.FindAllStringSubmatch(query[2], -1)
			series := regexp.MustCompile(`(?m)^` + name + `(\{.*\})? `).FindString(metrics)
			if series == "" {
				t.Errorf("%s %s asks for %s, which the program has not", o.kind(), o.name(), name)
			}
			for _, l := range labels {
				// What Prometheus adds.
				if !slices.Contains([]string{"namespace", "service", "pod"}, l[1]) && !strings.Contains(series, l[1]+"=") {
					t.Errorf("%s %s asks for the label %s of %s, which has none: %s", o.kind(), o.name(), l[1], name, series)
				}
			}
		}
	}
	if asked < 15 {
		t.Errorf("only %d metrics were found:\n%s", asked, metrics)
	}
}

var (
	metric = regexp.MustCompile(`(lexicrop_[a-z_]+)(\{[^}]*\})?`)
	label  = regexp.MustCompile(`(\w+)(?:=~?)`)
)
