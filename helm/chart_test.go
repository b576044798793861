// Package helm_test checks the chart: what it renders against Kubernetes's schemas, against the real binary
// and configuration, and against wrong values; and it installs it on a real control plane.
package helm_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const (
	chart   = "lexicrop"
	testbed = "../build/testbed"
	// The oldest and the newest Kubernetes that the chart is for; the first is Chart.yaml's kubeVersion.
	oldest, newest = "1.29.0", "1.37.0"
)

// valuesFiles are what everything is rendered with; the first are the defaults.
func valuesFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(chart + "/ci/*-values.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("values files %v: %v", files, err)
	}
	return append([]string{chart + "/values.yaml"}, files...)
}

// tool is a program of the test bed.
func tool(t *testing.T, name string) string {
	t.Helper()
	if os.Getenv("LEXICROP_SKIP_HELM") != "" {
		t.Skip("LEXICROP_SKIP_HELM is set")
	}
	path, err := filepath.Abs(filepath.Join(testbed, name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v: run helm/testbed/setup.sh (LEXICROP_SKIP_HELM=1 leaves the chart out, LEXICROP_SKIP_KUBERNETES=1 the control plane)", err)
	}
	return path
}

// run returns what a program prints.
func run(t *testing.T, name string, arguments ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, arguments...).CombinedOutput()
	return string(out), err
}

// template renders the chart as the release lx in the namespace art.
func template(t *testing.T, arguments ...string) string {
	t.Helper()
	out, err := run(t, tool(t, "bin/helm"), append([]string{"template", "lx", chart, "--namespace", "art"}, arguments...)...)
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return out
}

// object is a manifest.
type object map[string]any

func (o object) kind() string { return o.text("kind") }
func (o object) name() string { return o.text("metadata", "name") }

// at follows keys of maps and indices of lists; nil where there is nothing.
func (o object) at(path ...any) any {
	var value any = map[string]any(o)
	for _, step := range path {
		switch step := step.(type) {
		case string:
			m, _ := value.(map[string]any)
			value = m[step]
		case int:
			list, _ := value.([]any)
			if step >= len(list) {
				return nil
			}
			value = list[step]
		}
	}
	return value
}

func (o object) text(path ...any) string {
	text, _ := o.at(path...).(string)
	return text
}

func (o object) list(path ...any) []object {
	var objects []object
	list, _ := o.at(path...).([]any)
	for _, element := range list {
		m, _ := element.(map[string]any)
		objects = append(objects, m)
	}
	return objects
}

// container is the one called name of a Deployment or Job.
func (o object) container(t *testing.T, name string) object {
	t.Helper()
	for _, kind := range []string{"containers", "initContainers"} {
		for _, c := range o.list("spec", "template", "spec", kind) {
			if c.text("name") == name {
				return c
			}
		}
	}
	t.Fatalf("%s %s has no container %s", o.kind(), o.name(), name)
	return nil
}

func parse(t *testing.T, manifests string) []object {
	t.Helper()
	var objects []object
	decoder := yaml.NewDecoder(strings.NewReader(manifests))
	for {
		var o map[string]any
		err := decoder.Decode(&o)
		if errors.Is(err, io.EOF) {
			return objects
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, manifests)
		}
		if o != nil {
			objects = append(objects, o)
		}
	}
}

func find(t *testing.T, objects []object, kind, name string) object {
	t.Helper()
	for _, o := range objects {
		if o.kind() == kind && o.name() == name {
			return o
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return nil
}

func render(t *testing.T, arguments ...string) []object {
	t.Helper()
	return parse(t, template(t, arguments...))
}

func TestLint(t *testing.T) {
	for _, helm := range []string{"bin/helm", "bin/helm3"} {
		for _, values := range valuesFiles(t) {
			if out, err := run(t, tool(t, helm), "lint", "--strict", chart, "--values", values, "--kube-version", newest); err != nil {
				t.Errorf("%s with %s: %s", helm, values, out)
			}
		}
	}
}

// The older helm makes the same of the chart.
func TestBothHelmsRenderTheSame(t *testing.T) {
	for _, values := range valuesFiles(t) {
		arguments := []string{"template", "lx", chart, "--values", values, "--kube-version", newest, "--set", "triton.repositoryKey.existingSecret=known"}
		four, err := run(t, tool(t, "bin/helm"), arguments...)
		if err != nil {
			t.Fatal(four)
		}
		three, err := run(t, tool(t, "bin/helm3"), arguments...)
		if err != nil {
			t.Fatal(three)
		}
		if got, want := keyed(t, three), keyed(t, four); len(got) != len(want) || len(got) == 0 {
			t.Errorf("%s: helm 3 renders %d objects, helm 4 %d", values, len(got), len(want))
		} else {
			for name, text := range want {
				if got[name] != text {
					t.Errorf("%s: %s differs:\n%s\n%s", values, name, got[name], text)
				}
			}
		}
	}
}

func keyed(t *testing.T, manifests string) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, o := range parse(t, manifests) {
		text, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		texts[o.kind()+"/"+o.name()] = string(text)
	}
	return texts
}

// foreign are the groups of kinds that Kubernetes itself does not have; TestOnKubernetes has an API
// server validate them by their CRDs.
var foreign = []string{"monitoring.coreos.com/", "gateway.networking.k8s.io/", "keda.sh/"}

func TestManifestsAreValid(t *testing.T) {
	for _, values := range valuesFiles(t) {
		var ours bytes.Buffer
		count := 0
		for _, o := range render(t, "--values", values, "--kube-version", oldest) {
			if hasPrefixOf(o.text("apiVersion"), foreign) {
				continue
			}
			count++
			text, err := yaml.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&ours, "---\n%s", text)
		}
		file := filepath.Join(t.TempDir(), "manifests.yaml")
		if err := os.WriteFile(file, ours.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, version := range []string{oldest, newest} {
			out, err := run(t, tool(t, "python/bin/kubernetes-validate"), "--strict", "-k", version, file)
			if passed := strings.Count(out, " passed for resource "); err != nil || passed != count {
				t.Errorf("%s for %s: %d of %d passed: %v\n%s", values, version, passed, count, err, out)
			}
		}
	}
}

func hasPrefixOf(text string, prefixes []string) bool {
	for _, prefix := range prefixes {
		if strings.HasPrefix(text, prefix) {
			return true
		}
	}
	return false
}

func TestOlderKubernetesIsRefused(t *testing.T) {
	out, err := run(t, tool(t, "bin/helm"), "template", "lx", chart, "--kube-version", "1.28.0")
	if err == nil || !strings.Contains(out, "1.29.0") {
		t.Errorf("%v: %s", err, out)
	}
}

// .helmignore must not drop the test hook, nor the dashboard.
func TestPackageIsWhole(t *testing.T) {
	folder := t.TempDir()
	if out, err := run(t, tool(t, "bin/helm"), "package", chart, "--destination", folder); err != nil {
		t.Fatal(out)
	}
	archives, err := filepath.Glob(filepath.Join(folder, "*.tgz"))
	if err != nil || len(archives) != 1 {
		t.Fatalf("%v, %v", archives, err)
	}
	everything := chart + "/ci/everything-values.yaml"
	out, err := run(t, tool(t, "bin/helm"), "template", "lx", archives[0], "--namespace", "art", "--values", everything)
	if err != nil {
		t.Fatal(out)
	}
	if packed, whole := keyed(t, out), keyed(t, template(t, "--values", everything)); len(packed) != len(whole) {
		t.Errorf("%d objects from the package, %d from the folder", len(packed), len(whole))
	}
}
