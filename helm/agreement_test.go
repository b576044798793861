package helm_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// lexicrop is the real program.
func lexicrop(t *testing.T) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var build = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "lexicrop")
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "lexicrop")
	out, err := exec.Command("go", "build", "-o", path, "../cmd/lexicrop").CombinedOutput()
	if err != nil {
		os.Stderr.Write(out)
	}
	return path, err
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := build(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// inContainer runs lexicrop with a command's arguments and the environment that the container has; the
// folder of the ConfigMap is made of what is rendered.
func inContainer(t *testing.T, objects []object, container object, arguments ...string) (string, error) {
	t.Helper()
	folder := t.TempDir()
	for _, o := range objects {
		if o.kind() == "ConfigMap" && o.at("data", "lexicrop.yaml") != nil {
			if err := os.WriteFile(filepath.Join(folder, "lexicrop.yaml"), []byte(o.text("data", "lexicrop.yaml")), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, argument := range arguments {
		arguments[i] = strings.ReplaceAll(argument, "/etc/lexicrop", folder)
	}
	cmd := exec.CommandContext(t.Context(), lexicrop(t), arguments...)
	cmd.Dir = folder
	cmd.Env = environment(container)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// environment is a container's, with secrets made up and $(NAME) filled in.
func environment(container object) []string {
	values := map[string]string{}
	variables := []string{} // and not nil, which would stand for this process's own
	for _, v := range container.list("env") {
		value := v.text("value")
		switch {
		case strings.HasSuffix(v.text("name"), "_DSN"):
			value = "postgres://lexicrop:secret@database/lexicrop"
		case v.at("valueFrom") != nil:
			value = "key-of-" + strings.ToLower(v.text("name"))
		}
		for name, known := range values {
			value = strings.ReplaceAll(value, "$("+name+")", known)
		}
		values[v.text("name")] = value
		variables = append(variables, v.text("name")+"="+value)
	}
	return variables
}

func serviceOf(t *testing.T, objects []object) object {
	t.Helper()
	for _, o := range objects {
		if o.kind() == "Deployment" && o.text("metadata", "labels", "app.kubernetes.io/component") == "service" {
			return o
		}
	}
	t.Fatal("there is no Deployment of the service")
	return nil
}

// The real program takes the ConfigMap and the environment, and means the same ports and times by them.
func TestLexicropTakesItsConfiguration(t *testing.T) {
	for _, values := range valuesFiles(t) {
		objects := render(t, "--values", values)
		deployment := serviceOf(t, objects)
		container := deployment.container(t, "lexicrop")
		arguments, _ := container.at("args").([]any)
		if len(arguments) != 2 || arguments[0] != "serve" {
			t.Fatalf("%s: arguments %v", values, arguments)
		}
		flag := arguments[1].(string)
		if out, err := inContainer(t, objects, container, "config", "check", flag); err != nil {
			t.Errorf("%s: %s", values, out)
			continue
		}
		printed, err := inContainer(t, objects, container, "config", "print", flag)
		if err != nil {
			t.Fatalf("%s: %s", values, printed)
		}
		c := parse(t, printed)[0]
		for name, key := range map[string]string{"http": "server", "admin": "admin"} {
			if got, want := c.text(key, "address"), ":"+strconv.Itoa(containerPort(t, container, name)); got != want {
				t.Errorf("%s: %s.address is %s, the container's port %s", values, key, got, want)
			}
		}
		seconds := deployment.at("spec", "template", "spec", "terminationGracePeriodSeconds").(int)
		grace := time.Duration(seconds * int(time.Second))
		if drain := duration(t, c, "shutdown_delay") + duration(t, c, "shutdown_grace"); grace < drain+time.Second {
			t.Errorf("%s: the pod is killed after %v, while stopping may take %v", values, grace, drain)
		}
		if asked, grace := duration(t, c, "request_timeout"), duration(t, c, "shutdown_grace"); asked > grace {
			t.Errorf("%s: a request may take %v, its pod ends after %v", values, asked, grace)
		}
		if address := c.text("triton", "address"); address == "" {
			t.Errorf("%s: no address of Triton", values)
		} else if host, _, _ := strings.Cut(address, "."); !strings.Contains(values, "minimal") {
			service := find(t, objects, "Service", host)
			if port := service.list("spec", "ports")[0]; address != host+".art.svc:"+strconv.Itoa(port.at("port").(int)) || service.text("spec", "clusterIP") != "None" {
				t.Errorf("%s: the address of Triton is %s, the service %v", values, address, port)
			}
		}
		memory := 1024 * mustAtoi(t, strings.TrimSuffix(container.text("resources", "limits", "memory"), "Gi"))
		if slots, _ := c.at("admission", "decode_slots").(int); slots < 1 || slots*96 > memory/2 {
			t.Errorf("%s: %d photos of up to 96 MiB at once, in a pod of %d MiB", values, slots, memory)
		}
		if c.text("index", "store") == "sqlite" && mountOf(container, "index") != filepath.Dir(c.text("index", "path")) {
			t.Errorf("%s: the catalogue is %s, the volume at %s", values, c.text("index", "path"), mountOf(container, "index"))
		}
		if mount := mountOf(container, "config"); flag != "--config="+mount+"/lexicrop.yaml" {
			t.Errorf("%s: the configuration is mounted at %s and read by %s", values, mount, flag)
		}
	}
}

func containerPort(t *testing.T, container object, name string) int {
	t.Helper()
	for _, port := range container.list("ports") {
		if port.text("name") == name {
			return port.at("containerPort").(int)
		}
	}
	t.Fatalf("the container %s has no port %s", container.text("name"), name)
	return 0
}

func mountOf(container object, volume string) string {
	for _, mount := range container.list("volumeMounts") {
		if mount.text("name") == volume {
			return mount.text("mountPath")
		}
	}
	return ""
}

func mustAtoi(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func duration(t *testing.T, c object, key string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(c.text("server", key))
	if err != nil {
		t.Fatalf("server.%s: %v", key, err)
	}
	return d
}

// What the configuration refuses comes to light in the check above.
func TestAWrongConfigurationIsSeen(t *testing.T) {
	objects := render(t, "--set", "config.server.request_timeout=2m")
	container := serviceOf(t, objects).container(t, "lexicrop")
	out, err := inContainer(t, objects, container, "config", "check", "--config=/etc/lexicrop/lexicrop.yaml")
	if err == nil || !strings.Contains(out, "server.request_timeout") {
		t.Errorf("%v: %s", err, out)
	}
}

// The hook's command line is one that the program has.
func TestHookCommandExists(t *testing.T) {
	job := find(t, render(t), "Job", "lx-lexicrop-test")
	container := job.container(t, "photo")
	arguments := texts(container.at("args"))
	out, err := run(t, lexicrop(t), append(arguments, "--help")...)
	if err != nil || !strings.Contains(out, "--crop") {
		t.Errorf("%v: %v: %s", arguments, err, out)
	}
}

func texts(list any) []string {
	elements, _ := list.([]any)
	out := make([]string, len(elements))
	for i, element := range elements {
		out[i], _ = element.(string)
	}
	return out
}

// Triton's arguments are flags of the real tritonserver, and the key is the same in all three places.
func TestTritonKnowsItsFlags(t *testing.T) {
	if os.Getenv("LEXICROP_SKIP_TRITON") != "" {
		t.Skip("LEXICROP_SKIP_TRITON is set")
	}
	help, _ := run(t, "../build/triton/bin/tritonserver", "--help") // exits with 1 after its help
	for _, values := range valuesFiles(t) {
		objects := render(t, "--values", values)
		for _, o := range objects {
			if o.kind() != "Deployment" || o.text("metadata", "labels", "app.kubernetes.io/component") != "triton" {
				continue
			}
			triton := o.container(t, "triton")
			arguments := texts(triton.at("args"))
			if len(arguments) < 10 || arguments[0] != "/bin/sh" || arguments[3] != "tritonserver" {
				t.Fatalf("%s: arguments %q", values, arguments)
			}
			for _, argument := range arguments[4:] {
				flag, value, _ := strings.Cut(argument, "=")
				if !strings.Contains(help, "\n  "+flag+" ") {
					t.Errorf("%s: tritonserver has no flag %s", values, flag)
				}
				if strings.HasSuffix(flag, "-port") {
					name := strings.TrimSuffix(strings.TrimPrefix(flag, "--"), "-port")
					if value != strconv.Itoa(containerPort(t, triton, name)) {
						t.Errorf("%s: %s is another than the container's port", values, argument)
					}
				}
			}
			header := "triton-grpc-protocol-" + regexp.MustCompile(`logging:(\w+)=\$\(TRITON_REPOSITORY_KEY\)`).FindStringSubmatch(strings.Join(arguments, " "))[1]
			service := serviceOf(t, objects).container(t, "lexicrop")
			if value := variable(service, "LEXICROP_TRITON_HEADERS").text("value"); value != header+": $(TRITON_REPOSITORY_KEY)" {
				t.Errorf("%s: Triton expects %s, the service sends %s", values, header, value)
			}
			ours, theirs := variable(service, "TRITON_REPOSITORY_KEY"), variable(triton, "TRITON_REPOSITORY_KEY")
			if key := ours.text("valueFrom", "secretKeyRef", "name"); key == "" || key != theirs.text("valueFrom", "secretKeyRef", "name") {
				t.Errorf("%s: the key is of the secrets %v and %v", values, ours, theirs)
			}
		}
	}
}

func variable(container object, name string) object {
	for _, v := range container.list("env") {
		if v.text("name") == name {
			return v
		}
	}
	return nil
}

var engineFolder = regexp.MustCompile(`"trt_engine_cache_path" value: "([^"]*)"`)

// Every shipped model has the profiles that values can name, and caches engines where they are mounted.
func TestModelsHaveTheProfiles(t *testing.T) {
	models, err := filepath.Glob("../modelrepo/models/*")
	if err != nil || len(models) == 0 {
		t.Fatalf("models %v: %v", models, err)
	}
	triton := find(t, render(t), "Deployment", "lx-lexicrop-triton").container(t, "triton")
	for _, model := range models {
		for _, profile := range []string{"gpu", "cpu"} {
			text, err := os.ReadFile(filepath.Join(model, "configs", profile+".pbtxt"))
			if err != nil {
				t.Error(err)
			}
			for _, folder := range engineFolder.FindAllStringSubmatch(string(text), -1) {
				if folder[1] != mountOf(triton, "engines") {
					t.Errorf("%s keeps its engines in %s, where no volume is", model, folder[1])
				}
			}
		}
	}
	for _, key := range []string{"detector", "embedder"} {
		values := find(t, render(t), "ConfigMap", "lx-lexicrop-triton").text("data", "models")
		if _, err := os.Stat("../modelrepo/models/" + key); err != nil || !strings.Contains(values, key+"\n") {
			t.Errorf("the default model %s is not in the repository, or not in %q: %v", key, values, err)
		}
	}
}
