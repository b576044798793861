package helm_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The chart on a real control plane. What no test here can see, since no container runs, the tests beside
// this one tie to the real program: probes, ports, flags, variables, traffic.
func TestOnKubernetes(t *testing.T) {
	if os.Getenv("LEXICROP_SKIP_KUBERNETES") != "" {
		t.Skip("LEXICROP_SKIP_KUBERNETES is set")
	}
	c := startCluster(t)
	t.Run("the API server takes what every values file renders", c.testAdmission)
	t.Run("a release from its beginning to its end", c.testLifetime)
	t.Run("a bad image changes nothing", c.testBadImage)
	t.Run("Triton is scaled by the time in its queue", c.testScaling)
	t.Run("draining nodes leaves a pod", c.testDrain)
	t.Run("helm 3", c.testHelm3)
}

// release is an installation named lx.
type release struct {
	*cluster
	namespace string
	program   string // helm or helm3
}

// helm runs a subcommand on the release.
func (r release) helm(t *testing.T, subcommand string, arguments ...string) string {
	t.Helper()
	return r.must(t, r.program, "", append([]string{subcommand, "lx", "--namespace", r.namespace}, arguments...)...)
}

func (r release) install(t *testing.T, arguments ...string) {
	t.Helper()
	r.helm(t, "install", append([]string{chart, "--wait", "--timeout", patience.String()}, arguments...)...)
}

func (r release) upgrade(t *testing.T, arguments ...string) {
	t.Helper()
	r.helm(t, "upgrade", append([]string{chart, "--reuse-values", "--wait", "--timeout", patience.String()}, arguments...)...)
}

// pods are those of a component that are not on their way out.
func (r release) pods(t *testing.T, component string) []object {
	t.Helper()
	return slices.DeleteFunc(r.get(t, "pods", "--namespace", r.namespace, "--selector=app.kubernetes.io/component="+component), func(pod object) bool {
		return pod.at("metadata", "deletionTimestamp") != nil
	})
}

func (r release) uids(t *testing.T, component string) []string {
	t.Helper()
	var uids []string
	for _, pod := range r.pods(t, component) {
		uids = append(uids, pod.text("metadata", "uid"))
	}
	slices.Sort(uids)
	return uids
}

// one is an object of the release.
func (r release) one(t *testing.T, kind, name string) object {
	t.Helper()
	return r.get(t, kind, name, "--namespace", r.namespace)[0]
}

// endpoints counts the addresses of a service that get requests.
func (r release) endpoints(t *testing.T, service string) int {
	t.Helper()
	count := 0
	for _, slice := range r.get(t, "endpointslices", "--namespace", r.namespace, "--selector=kubernetes.io/service-name="+service) {
		for _, endpoint := range slice.list("endpoints") {
			if endpoint.at("conditions", "ready") == true {
				count += len(endpoint.at("addresses").([]any))
			}
		}
	}
	return count
}

// testAdmission is the strictest validation there is, of foreign kinds too, with the security of pods.
func (c *cluster) testAdmission(t *testing.T) {
	c.namespace(t, "art")
	kinds, err := filepath.Glob(filepath.Join(testbed, "schemas", "*.yaml"))
	if err != nil || len(kinds) < 4 {
		t.Fatalf("kinds of others: %v, %v", kinds, err)
	}
	for _, kind := range kinds {
		c.kubectl(t, "create", "-f", kind)
	}
	c.kubectl(t, "wait", "--for=condition=Established", "crd", "--all", "--timeout="+patience.String())
	for _, values := range valuesFiles(t) {
		manifests := template(t, "--values", values)
		stdout, stderr, err := c.command(t.Context(), "kubectl", manifests, "create", "--dry-run=server", "--validate=strict", "-f", "-")
		if created, want := strings.Count(stdout, " created "), len(parse(t, manifests)); err != nil || created != want || stderr != "" {
			t.Errorf("%s: %d of %d objects are taken: %v\n%s", values, created, want, err, stderr)
		}
	}
	// That the above can fail:
	out, stderr, err := c.command(t.Context(), "kubectl", strings.ReplaceAll(template(t), "runAsNonRoot", "runAsNonRot"), "create", "--dry-run=server", "--validate=strict", "-f", "-")
	if err == nil || !strings.Contains(stderr, "runAsNonRot") {
		t.Errorf("a misspelt field is taken: %s%s", out, stderr)
	}
}

func (c *cluster) testLifetime(t *testing.T) {
	c.namespace(t, "lifetime")
	r := release{c, "lifetime", "helm"}
	r.install(t)

	// Triton is where the GPU is, the service where it takes none away.
	triton, service := r.pods(t, "triton"), r.pods(t, "service")
	if len(triton) != 1 || triton[0].text("spec", "nodeName") != "gpu-0" || !ready(triton[0]) {
		t.Errorf("pods of Triton: %v", triton)
	}
	if len(service) != 1 || !strings.HasPrefix(service[0].text("spec", "nodeName"), "cpu-") || !ready(service[0]) {
		t.Errorf("pods of the service: %v", service)
	}
	for _, name := range []string{"lx-lexicrop", "lx-lexicrop-triton"} {
		c.eventually(t, name+" has an address", func() string { return lacks(r.endpoints(t, name), 1) })
	}
	if phase := r.one(t, "pvc", "lx-lexicrop-index").text("status", "phase"); phase != "Bound" {
		t.Errorf("the claim of the catalogue is %s", phase)
	}

	out := r.helm(t, "test", "--timeout", patience.String())
	if !strings.Contains(out, "TEST SUITE:     lx-lexicrop-test") || !strings.Contains(out, "Phase:          Succeeded") {
		t.Errorf("helm test says:\n%s", out)
	}

	key := r.one(t, "secret", "lx-lexicrop-triton-repository").text("data", "repository-key")
	tritons, services := r.uids(t, "triton"), r.uids(t, "service")
	stays := func(component string, before []string) {
		t.Helper()
		if after := r.uids(t, component); !slices.Equal(after, before) {
			t.Errorf("other pods of %s run: %v, before %v", component, after, before)
		}
	}

	// Another model reaches the pods by their volume.
	r.upgrade(t, "--set", "config.models.detector.name=other")
	stays("service", services)
	stays("triton", tritons)
	if text := r.one(t, "configmap", "lx-lexicrop").text("data", "lexicrop.yaml"); !strings.Contains(text, "name: other") {
		t.Errorf("the ConfigMap is\n%s", text)
	}
	if text := r.one(t, "configmap", "lx-lexicrop-triton").text("data", "models"); !strings.Contains(text, "other\n") {
		t.Errorf("Triton starts with %q", text)
	}

	// What wants a restart gets one, of the service alone; the value above is kept.
	r.upgrade(t, "--set", "config.crop.min_score=0.6")
	stays("triton", tritons)
	if after := r.uids(t, "service"); len(after) != 1 || slices.Equal(after, services) {
		t.Errorf("pods of the service: %v, before %v", after, services)
	}

	// On a single GPU a new Triton takes the place of the old one, which knew the same key.
	r.upgrade(t, "--set", "triton.image.tag=next")
	triton = r.pods(t, "triton")
	if len(triton) != 1 || triton[0].text("spec", "nodeName") != "gpu-0" || !ready(triton[0]) ||
		!strings.HasSuffix(triton[0].list("spec", "containers")[0].text("image"), ":next") {
		t.Errorf("pods of Triton: %v", triton)
	}
	if again := r.one(t, "secret", "lx-lexicrop-triton-repository").text("data", "repository-key"); again != key {
		t.Error("an upgrade has changed the key of the model repository")
	}

	// Where the new one had to come first, it would wait for ever.
	r.helm(t, "upgrade", chart, "--reuse-values", "--set", "triton.image.tag=third,triton.strategy.type=RollingUpdate,triton.strategy.rollingUpdate.maxSurge=1,triton.strategy.rollingUpdate.maxUnavailable=0")
	c.eventually(t, "a second Triton waits for a GPU", func() string {
		for _, pod := range r.pods(t, "triton") {
			for _, condition := range pod.list("status", "conditions") {
				if condition.text("reason") == "Unschedulable" && strings.Contains(condition.text("message"), "Insufficient nvidia.com/gpu") {
					return ""
				}
			}
		}
		return "none does"
	})
	r.helm(t, "rollback", "--wait", "--timeout", patience.String())
	if triton = r.pods(t, "triton"); len(triton) != 1 || !ready(triton[0]) {
		t.Errorf("after the rollback: %v", triton)
	}

	// Nothing is left but the catalogue.
	r.helm(t, "uninstall", "--wait", "--timeout", patience.String())
	c.eventually(t, "the catalogue alone is left", func() string {
		if left := r.everything(t); !slices.Equal(left, []string{"persistentvolumeclaim/lx-lexicrop-index"}) {
			return fmt.Sprint(left)
		}
		return ""
	})
}

func lacks(got, want int) string {
	if got == want {
		return ""
	}
	return fmt.Sprintf("there are %d, not %d", got, want)
}

// everything is what stands in the namespace but for what Kubernetes puts into each.
func (r release) everything(t *testing.T) []string {
	t.Helper()
	kinds := strings.Fields(r.kubectl(t, "api-resources", "--namespaced", "--verbs=list", "--output=name"))
	kinds = slices.DeleteFunc(kinds, func(kind string) bool { return strings.HasPrefix(kind, "events") })
	names := strings.Fields(r.kubectl(t, "get", strings.Join(kinds, ","), "--namespace", r.namespace, "--output=name", "--ignore-not-found"))
	return slices.DeleteFunc(names, func(name string) bool {
		return name == "configmap/kube-root-ca.crt" || name == "serviceaccount/default"
	})
}

// Two pods of the service, and no catalogue that would want a volume.
var twoPods = []string{"--set", "index.store=none,replicas=2,triton.profile=cpu"}

func (c *cluster) testBadImage(t *testing.T) {
	c.namespace(t, "bad-image")
	r := release{c, "bad-image", "helm"}
	r.install(t, twoPods...)
	before := r.uids(t, "service")
	_, stderr, err := c.command(t.Context(), "helm", "", "upgrade", "lx", chart, "--namespace", r.namespace, "--reuse-values",
		"--set", "image.tag=bad", "--rollback-on-failure", "--timeout", "30s")
	if err == nil {
		t.Error("the upgrade to an image that cannot be pulled succeeded")
	}
	after := r.uids(t, "service")
	if len(before) != 2 || !slices.Equal(after, before) {
		t.Errorf("pods of the service: %v, before %v", after, before)
	}
	image := r.one(t, "deployment", "lx-lexicrop").container(t, "lexicrop").text("image")
	if status := r.helm(t, "status"); !strings.Contains(status, "STATUS: deployed") || strings.HasSuffix(image, ":bad") {
		t.Errorf("after the rollback the image is %s, and\n%s\n%s", image, status, stderr)
	}
	c.eventually(t, "both pods get requests", func() string { return lacks(r.endpoints(t, "lx-lexicrop"), 2) })
}

// The API for metrics is one of ours, in the place of Prometheus and its adapter.
func (c *cluster) testScaling(t *testing.T) {
	for i := 1; i < 4; i++ {
		name := fmt.Sprintf("gpu-%d", i)
		c.apply(t, fmt.Sprintf(`{apiVersion: v1, kind: Node, metadata: {name: %[1]s, labels: {kubernetes.io/hostname: %[1]s}},
			spec: {taints: [{key: nvidia.com/gpu, effect: NoSchedule}]},
			status: {capacity: &all {cpu: "8", memory: 32Gi, pods: "110", nvidia.com/gpu: "1"}, allocatable: *all}}`, name))
	}
	queue := serveMetrics(t, c, "triton_queue_microseconds")
	c.namespace(t, "scaling")
	r := release{c, "scaling", "helm"}
	queue.Store(1000)
	r.install(t, "--set", "index.store=none,triton.autoscaling.enabled=true,triton.autoscaling.behavior.scaleDown.stabilizationWindowSeconds=0")
	scaled := func(want int) {
		t.Helper()
		c.eventually(t, fmt.Sprintf("%d Tritons get requests", want), func() string {
			return lacks(r.endpoints(t, "lx-lexicrop-triton"), want)
		})
	}
	scaled(1)
	queue.Store(10_000) // twice what is aimed at
	scaled(4)
	nodes := map[string]bool{}
	for _, pod := range r.pods(t, "triton") {
		nodes[pod.text("spec", "nodeName")] = true
	}
	if got := slices.Sorted(maps.Keys(nodes)); !slices.Equal(got, []string{"gpu-0", "gpu-1", "gpu-2", "gpu-3"}) {
		t.Errorf("Tritons run on %v", got)
	}
	queue.Store(1000)
	scaled(1)
}

func (c *cluster) testDrain(t *testing.T) {
	c.namespace(t, "drain")
	r := release{c, "drain", "helm"}
	r.install(t, twoPods...)
	// With no node left for the second pod's successor, the first must stay.
	stdout, stderr, err := c.command(t.Context(), "kubectl", "", "drain", "cpu-0", "cpu-1", "--delete-emptydir-data", "--timeout=20s")
	if err == nil || !strings.Contains(stderr, "would violate the pod's disruption budget") {
		t.Errorf("both nodes are drained: %s%s", stdout, stderr)
	}
	c.eventually(t, "one pod gets requests, and only one", func() string { return lacks(r.endpoints(t, "lx-lexicrop"), 1) })
	c.kubectl(t, "uncordon", "cpu-1")
	c.kubectl(t, "drain", "cpu-0", "--delete-emptydir-data", "--timeout="+patience.String())
	c.eventually(t, "both pods have moved", func() string { return lacks(r.endpoints(t, "lx-lexicrop"), 2) })
	for _, pod := range r.pods(t, "service") {
		if pod.text("spec", "nodeName") != "cpu-1" {
			t.Errorf("%s is on %s", pod.name(), pod.text("spec", "nodeName"))
		}
	}
	c.kubectl(t, "uncordon", "cpu-0")
}

func (c *cluster) testHelm3(t *testing.T) {
	c.namespace(t, "helm3")
	r := release{c, "helm3", "helm3"}
	r.install(t, "--set", "index.store=none")
	if out := r.helm(t, "test", "--timeout", patience.String()); !strings.Contains(out, "lx-lexicrop-test") || !strings.Contains(out, "Succeeded") {
		t.Errorf("helm test says:\n%s", out)
	}
	before := r.uids(t, "service")
	r.upgrade(t, "--set", "config.models.detector.name=other")
	if after := r.uids(t, "service"); len(before) != 1 || !slices.Equal(after, before) {
		t.Errorf("other pods of the service run: %v, before %v", after, before)
	}
	r.helm(t, "rollback", "--wait", "--timeout", patience.String())
	r.helm(t, "uninstall", "--wait", "--timeout", patience.String())
	c.eventually(t, "nothing is left", func() string { return strings.Join(r.everything(t), " ") })
}
