package helm_test

import (
	"slices"
	"strings"
	"testing"
)

// changes are the objects that differ between two renderings.
func changes(t *testing.T, before, after []string) []string {
	t.Helper()
	fixed := []string{"--set", "triton.repositoryKey.existingSecret=known"}
	old, fresh := keyed(t, template(t, append(fixed, before...)...)), keyed(t, template(t, append(fixed, after...)...))
	var names []string
	for name, text := range fresh {
		if old[name] != text {
			names = append(names, name)
		}
	}
	for name := range old {
		if _, stays := fresh[name]; !stays {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestWhatAChangeRolls(t *testing.T) {
	const service, triton = "Deployment/lx-lexicrop", "Deployment/lx-lexicrop-triton"
	config, models := "ConfigMap/lx-lexicrop", "ConfigMap/lx-lexicrop-triton"
	tests := []struct {
		change string
		want   []string
	}{
		{"config.models.detector.name=other", []string{config, models}},
		{"config.models.detector.version=2", []string{config}},
		{"config.models.embedder.name=other", []string{config, models}},
		{"config.models.detector.canary.name=other,config.models.detector.canary.percent=5", []string{config, models}},
		{"config.models.detector.canary.name=detector,config.models.detector.canary.version=2", []string{config}},
		{"config.models.detector.shadow.name=other", []string{config, models}},
		{"config.models.unload_after=5m", []string{config}},
		{"config.crop.min_score=0.6", []string{config, service}},
		{"config.log.level=debug", []string{config, service}},
		{"drain.graceSeconds=60", []string{config, service}},
		{"triton.models.image.tag=v2", []string{triton}},
		{"triton.image.tag=27.01-py3", []string{triton}},
		{"image.tag=v2", []string{service, "Job/lx-lexicrop-test"}},
	}
	for _, test := range tests {
		if got := changes(t, nil, []string{"--set", test.change}); !slices.Equal(got, test.want) {
			t.Errorf("%s changes %v, want %v", test.change, got, test.want)
		}
	}
}

func TestGPUAndItsAbsence(t *testing.T) {
	gpu := find(t, render(t), "Deployment", "lx-lexicrop-triton")
	cpu := find(t, render(t, "--set", "triton.profile=cpu"), "Deployment", "lx-lexicrop-triton")
	mig := find(t, render(t, "--set", "triton.gpu.resource=nvidia.com/mig-1g.10gb,triton.gpu.count=2"), "Deployment", "lx-lexicrop-triton")
	if got := gpu.container(t, "triton").at("resources", "limits", "nvidia.com/gpu"); got != 1 {
		t.Errorf("the GPU profile wants %v GPUs", got)
	}
	if got := cpu.container(t, "triton").at("resources", "limits", "nvidia.com/gpu"); got != nil {
		t.Errorf("the CPU profile wants %v GPUs", got)
	}
	if got := mig.container(t, "triton").at("resources", "limits", "nvidia.com/mig-1g.10gb"); got != 2 {
		t.Errorf("%v slices", got)
	}
	for _, test := range []struct {
		deployment         object
		profile            string
		surge, unavailable int
	}{{gpu, "gpu", 0, 1}, {cpu, "cpu", 1, 0}} {
		rolling := []any{test.deployment.at("spec", "strategy", "rollingUpdate", "maxSurge"), test.deployment.at("spec", "strategy", "rollingUpdate", "maxUnavailable")}
		if !slices.Equal(rolling, []any{test.surge, test.unavailable}) {
			t.Errorf("%s: maxSurge and maxUnavailable are %v", test.profile, rolling)
		}
		if arguments := texts(test.deployment.container(t, "triton").at("args")); !slices.Contains(arguments, "--model-config-name="+test.profile) {
			t.Errorf("%s: arguments %q", test.profile, arguments)
		}
	}
}

// Where the models come from: what is mounted, and what Triton reads.
func TestModelSources(t *testing.T) {
	const s3 = "triton.models.source=s3,triton.models.s3.url=s3://bucket/models"
	const gcs = "triton.models.source=gcs,triton.models.gcs.url=gs://bucket/models"
	tests := []struct {
		values, repository, variable string
		copies                       bool
	}{
		{"triton.models.source=image", "/models", "", true},
		{"triton.models.source=claim,triton.models.claim.name=models", "/models", "", false},
		{s3, "s3://bucket/models", "", false},
		{s3 + ",triton.models.s3.existingSecret=s3", "s3://bucket/models", "AWS_SECRET_ACCESS_KEY", false},
		{gcs + ",triton.models.gcs.existingSecret=gcs", "gs://bucket/models", "GOOGLE_APPLICATION_CREDENTIALS", false},
	}
	for _, test := range tests {
		o := find(t, render(t, "--set", test.values), "Deployment", "lx-lexicrop-triton")
		triton := o.container(t, "triton")
		if !slices.Contains(texts(triton.at("args")), "--model-repository="+test.repository) {
			t.Errorf("%s: arguments %q", test.values, triton.at("args"))
		}
		if mounted := mountOf(triton, "models"); (mounted != "") != strings.HasPrefix(test.repository, "/") {
			t.Errorf("%s: models are mounted at %q", test.values, mounted)
		}
		if test.variable != "" && variable(triton, test.variable) == nil {
			t.Errorf("%s: %s is not set", test.values, test.variable)
		}
		initial := o.list("spec", "template", "spec", "initContainers")
		if (len(initial) == 1) != test.copies {
			t.Errorf("%s: init containers %v", test.values, initial)
		}
		if test.copies {
			copied := o.container(t, "models")
			command := texts(copied.at("command"))
			// Into the volume, which must not hide what is copied.
			if target := mountOf(copied, "models"); command[len(command)-1] != target+"/" || strings.HasPrefix(command[2], target+"/") {
				t.Errorf("%q with the volume at %s", command, target)
			}
		}
	}
}

// Clients reach the API alone: metrics, health and profiles stay inside.
func TestAdminPortIsInNoService(t *testing.T) {
	for _, values := range valuesFiles(t) {
		for _, o := range render(t, "--values", values) {
			if o.kind() != "Service" || strings.HasSuffix(o.name(), "-metrics") {
				continue
			}
			for _, port := range o.list("spec", "ports") {
				if port.text("targetPort") == "admin" {
					t.Errorf("%s: the service %s has the admin port", values, o.name())
				}
			}
		}
	}
}

// Secrets are referred to; none stands in a ConfigMap or a pod.
func TestNoSecretInTheOpen(t *testing.T) {
	out := template(t)
	secret := find(t, parse(t, out), "Secret", "lx-lexicrop-triton-repository").text("data", "repository-key")
	if len(secret) < 40 || strings.Count(out, secret) != 1 {
		t.Errorf("the key %q stands %d times in what is rendered", secret, strings.Count(out, secret))
	}
	if second := template(t); strings.Contains(second, secret) {
		t.Error("two installations have the same key")
	}
}

func TestExtras(t *testing.T) {
	objects := render(t, "--values", chart+"/ci/everything-values.yaml")
	for name, container := range map[string]string{"crop": "lexicrop", "crop-triton": "triton"} {
		o := find(t, objects, "Deployment", name)
		if variable(o.container(t, container), "TZ") == nil || mountOf(o.container(t, container), "extra") != "/extra" {
			t.Errorf("%s lacks the environment or the volume", name)
		}
		o.container(t, "sidecar")
		o.container(t, "first")
		for _, path := range [][]any{
			{"spec", "template", "metadata", "annotations", "example.com/team"},
			{"spec", "template", "metadata", "labels", "team"},
			{"spec", "template", "spec", "priorityClassName"},
			{"spec", "template", "spec", "imagePullSecrets", 0, "name"},
		} {
			if o.text(path...) == "" {
				t.Errorf("%s has nothing at %v", name, path)
			}
		}
		if image := o.container(t, container).text("image"); !strings.Contains(image, "@sha256:") {
			t.Errorf("%s runs %s, not the digest", name, image)
		}
	}
	service := find(t, objects, "Deployment", "crop").container(t, "lexicrop")
	for _, name := range []string{"LEXICROP_AUTH_KEYS", "LEXICROP_AUTH_WRITE_KEYS", "LEXICROP_INDEX_DSN"} {
		if variable(service, name).text("valueFrom", "secretKeyRef", "name") == "" {
			t.Errorf("%s is of no secret", name)
		}
	}
	if runtime := find(t, objects, "Deployment", "crop-triton").text("spec", "template", "spec", "runtimeClassName"); runtime != "nvidia" {
		t.Errorf("runtime class %q", runtime)
	}
}
