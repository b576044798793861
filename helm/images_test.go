package helm_test

import (
	"debug/elf"
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// instruction is one of a Dockerfile, such as RUN, with the rest of its lines.
type instruction struct{ name, rest string }

// dockerfile reads the repository's file of this name.
func dockerfile(t *testing.T, name string) []instruction {
	t.Helper()
	var all []instruction
	text := strings.ReplaceAll(repositoryFile(t, name), "\\\n", " ")
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			word, rest, _ := strings.Cut(line, " ")
			all = append(all, instruction{word, strings.TrimSpace(rest)})
		}
	}
	return all
}

func repositoryFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// only is the rest of the one instruction that has this name and holds this text.
func only(t *testing.T, all []instruction, name, holds string) string {
	t.Helper()
	var found []string
	for _, i := range all {
		if i.name == name && strings.Contains(i.rest, holds) {
			found = append(found, i.rest)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d instructions %s with %q: %q", len(found), name, holds, found)
	}
	return found[0]
}

// words are those of an instruction in exec form.
func words(t *testing.T, list string) []string {
	t.Helper()
	var words []string
	if err := json.Unmarshal([]byte(list), &words); err != nil || len(words) == 0 {
		t.Fatalf("%s: %v", list, err)
	}
	return words
}

// buildContext is what docker would send of the repository: its files without those of .dockerignore.
func buildContext(t *testing.T) string {
	t.Helper()
	ignored := strings.Fields(repositoryFile(t, ".dockerignore"))
	listed, err := run(t, "git", "-C", "..", "ls-files", "--cached", "--others", "--exclude-standard")
	if err != nil {
		t.Fatal(listed)
	}
	folder := t.TempDir()
	for name := range strings.Lines(listed) {
		name = strings.TrimSuffix(name, "\n")
		source := filepath.Join("..", name)
		info, err := os.Stat(source)
		if err != nil || !info.Mode().IsRegular() || isIgnored(t, ignored, name) {
			continue
		}
		target := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o750); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(source)
		if err == nil {
			err = os.WriteFile(target, content, info.Mode())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// isIgnored knows the two kinds of patterns that ours has: NAME of the top, and **/NAME of anywhere.
func isIgnored(t *testing.T, patterns []string, name string) bool {
	t.Helper()
	parts := strings.Split(name, "/")
	for _, pattern := range patterns {
		anywhere, deep := strings.CutPrefix(pattern, "**/")
		switch {
		case strings.ContainsAny(anywhere, "*?[!/#"):
			t.Fatalf(".dockerignore: no test knows what %s means", pattern)
		case deep && slices.Contains(parts, anywhere), parts[0] == pattern:
			return true
		}
	}
	return false
}

// ofTheBase are the shared libraries in gcr.io/distroless/cc that ours are linked to.
var ofTheBase = regexp.MustCompile(`^(lib(c|m|gcc_s|stdc\+\+|pthread|dl|rt)|ld-linux[\w-]*)\.so\.\d$`)

// Every command of the Dockerfile but those that install packages, on what docker would see of the
// repository. No image is made: there is no docker here.
func TestCommandsOfTheDockerfile(t *testing.T) {
	file := dockerfile(t, "Dockerfile")
	module := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(repositoryFile(t, "go.mod"))[1]
	if image := only(t, file, "FROM", "golang"); !strings.HasPrefix(image, "golang:"+module+"-") {
		t.Errorf("go.mod wants Go %s, the image is built by %s", module, image)
	}
	source, out := buildContext(t), t.TempDir()
	shell := func(command string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-ec", strings.ReplaceAll(command, "/out", out))
		cmd.Dir = source
		cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false") // the Dockerfile sets none
		if text, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", command, err, text)
		}
	}
	_, build, _ := strings.Cut(only(t, file, "RUN", "go build"), "&& ")
	shell(build)
	shell(only(t, file, "RUN", "docker-libraries.sh"))

	copied := only(t, file, "COPY", "--from=build")
	entrypoint := words(t, only(t, file, "ENTRYPOINT", ""))
	if copied != "--from=build /out /" || len(entrypoint) != 1 {
		t.Errorf("COPY %s, ENTRYPOINT %q", copied, entrypoint)
	}
	program := filepath.Join(out, entrypoint[0])
	if text, err := run(t, program, append(words(t, only(t, file, "CMD", "")), "--help")...); err != nil {
		t.Errorf("CMD: %v: %s", err, text)
	}
	check := words(t, strings.TrimPrefix(only(t, file, "HEALTHCHECK", ""), "CMD "))
	if text, err := run(t, filepath.Join(out, check[0]), append(check[1:], "--help")...); err != nil {
		t.Errorf("HEALTHCHECK: %v: %s", err, text)
	}

	// What the program and the libraries are linked to is in the image, and what it loads by itself.
	libraries, err := filepath.Glob(out + "/usr/lib/*/lib*.so.*")
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, library := range libraries {
		there[filepath.Base(library)] = true
	}
	for _, file := range append(libraries, program) {
		binary, err := elf.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		imported, err := binary.ImportedLibraries()
		binary.Close()
		if err != nil || len(imported) == 0 {
			t.Errorf("%s: %v, %v", file, imported, err)
		}
		for _, name := range imported {
			if !there[name] && !ofTheBase.MatchString(name) {
				t.Errorf("%s wants %s, which is not in the image", filepath.Base(file), name)
			}
		}
	}
	if !there["libwebp.so.7"] || !there["libheif.so.1"] {
		t.Errorf("not all decoders are there: %q", libraries)
	}

	// The chart expects the same of the image.
	pod := serviceOf(t, render(t))
	user := pod.at("spec", "template", "spec", "securityContext", "runAsUser").(int)
	if want := jsonText(t, user) + ":" + jsonText(t, user); only(t, file, "USER", "") != want {
		t.Errorf("the chart runs the image as %s", want)
	}
	container := pod.container(t, "lexicrop")
	if want := jsonText(t, containerPort(t, container, "http")) + " " + jsonText(t, containerPort(t, container, "admin")); only(t, file, "EXPOSE", "") != want {
		t.Errorf("the chart expects the ports %s", want)
	}
}

func jsonText(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The image of the models has them where the chart copies them from, and .dockerignore leaves none out.
func TestModelsImage(t *testing.T) {
	copied := strings.Fields(only(t, dockerfile(t, "Dockerfile.models"), "COPY", ""))
	source, target := copied[len(copied)-2], copied[len(copied)-1]
	command := texts(find(t, render(t), "Deployment", "lx-lexicrop-triton").container(t, "models").at("command"))
	if got := strings.TrimSuffix(command[len(command)-2], "/."); got != target {
		t.Errorf("the image has the models in %s, the chart copies %s", target, got)
	}
	folder := buildContext(t)
	for _, model := range []string{"detector", "embedder"} {
		for _, file := range []string{"config.pbtxt", "configs/gpu.pbtxt", "configs/cpu.pbtxt", "1/model.onnx", "1/model.py"} {
			if _, err := os.Stat(filepath.Join(folder, source, model, file)); err != nil {
				t.Error(err)
			}
		}
	}
}

// compose reads docker-compose.yaml with the values of variables that are not set, and over it the services
// of more such files, as far as ours need it: what is given again replaces, but for volumes, which add.
func compose(t *testing.T, over ...string) object {
	t.Helper()
	read := func(name string) object {
		text := regexp.MustCompile(`\$\{\w+:-(\w*)\}`).ReplaceAllString(repositoryFile(t, name), "$1")
		if strings.Contains(text, "$") {
			t.Fatalf("%s has a variable without a default", name)
		}
		o := parse(t, text)[0]
		validateCompose(t, name, o, true)
		return o
	}
	whole := read("docker-compose.yaml")
	for _, name := range over {
		services, _ := read(name).at("services").(map[string]any)
		for service, changed := range services {
			o := whole.at("services", service).(map[string]any)
			for key, value := range changed.(map[string]any) {
				if volumes, ok := o[key].([]any); ok && key == "volumes" {
					value = append(volumes, value.([]any)...)
				}
				o[key] = value
			}
		}
	}
	return whole
}

// validateCompose holds a file against the schema of the Compose specification.
func validateCompose(t *testing.T, name string, o object, valid bool) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "compose.json")
	if err := os.WriteFile(file, []byte(jsonText(t, o)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := run(t, tool(t, "python/bin/python"), "-W", "ignore", "-m", "jsonschema", "--instance", file, tool(t, "schemas/compose-spec.json"))
	if (err == nil) != valid {
		t.Errorf("%s: %v: %s", name, err, out)
	}
}

func TestComposeAgreesWithTheChart(t *testing.T) {
	for profile, over := range map[string][]string{"cpu": nil, "gpu": {"docker-compose.gpu.yaml"}} {
		c := compose(t, over...)
		chartTriton := find(t, render(t, "--set", "triton.profile="+profile), "Deployment", "lx-lexicrop-triton").container(t, "triton")
		triton := object(c.at("services", "triton").(map[string]any))
		if got, want := triton.text("image"), chartTriton.text("image"); got != want {
			t.Errorf("%s: Triton is %s, in the chart %s", profile, got, want)
		}
		var flags []string
		for _, argument := range texts(chartTriton.at("args"))[3:] {
			flags = append(flags, strings.ReplaceAll(argument, "$(TRITON_REPOSITORY_KEY)", "local"))
		}
		for _, argument := range texts(triton.at("command")) {
			if !slices.Contains(flags, argument) {
				t.Errorf("%s: Triton has the argument %s, which it has not in the chart", profile, argument)
			}
		}
		var targets []string
		for _, volume := range texts(triton.at("volumes")) {
			targets = append(targets, strings.Split(volume, ":")[1])
		}
		if want := mountOf(chartTriton, "models"); !slices.Contains(targets, want) {
			t.Errorf("%s: no models at %s but %q", profile, want, targets)
		}
		if want := mountOf(chartTriton, "engines"); want != "" && !slices.Contains(targets, want) {
			t.Errorf("%s: no engines at %s but %q", profile, want, targets)
		}
		// It is there under its name and default port.
		if got, want := c.text("services", "lexicrop", "environment", "LEXICROP_TRITON_ADDRESS"), "triton:"+jsonText(t, containerPort(t, chartTriton, "grpc")); got != want {
			t.Errorf("%s: the address of Triton is %s, want %s", profile, got, want)
		}
	}
	chartService := serviceOf(t, render(t)).container(t, "lexicrop")
	header, _, _ := strings.Cut(variable(chartService, "LEXICROP_TRITON_HEADERS").text("value"), ": ")
	if got := compose(t).text("services", "lexicrop", "environment", "LEXICROP_TRITON_HEADERS"); got != header+": local" {
		t.Errorf("the header is %q, in the chart %s", got, header)
	}
	chartValues := parse(t, repositoryFile(t, "helm/lexicrop/values.yaml"))[0]
	version := parse(t, repositoryFile(t, "helm/lexicrop/Chart.yaml"))[0].text("appVersion")
	if got, want := compose(t).text("services", "lexicrop", "image"), chartValues.text("image", "repository")+":"+version; got != want {
		t.Errorf("the service is %s, in the chart %s", got, want)
	}
}

// What compose gives the service is a configuration that the real program takes, and the database is the one
// that is started beside.
func TestLexicropTakesTheEnvironmentOfCompose(t *testing.T) {
	c := compose(t)
	var variables []string
	environment, _ := c.at("services", "lexicrop", "environment").(map[string]any)
	for name, value := range environment {
		variables = append(variables, name+"="+value.(string))
	}
	for _, command := range []string{"check", "print"} {
		cmd := exec.CommandContext(t.Context(), lexicrop(t), "config", command)
		cmd.Dir, cmd.Env = t.TempDir(), variables
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("config %s: %v: %s", command, err, out)
		}
		if command == "print" && parse(t, string(out))[0].text("index", "store") != "postgres" {
			t.Errorf("the catalogue is not in PostgreSQL: %s", out)
		}
	}
	database := object(c.at("services", "postgres", "environment").(map[string]any))
	want := "postgres://" + database.text("POSTGRES_USER") + ":" + database.text("POSTGRES_PASSWORD") + "@postgres/" + database.text("POSTGRES_DB")
	if got, _ := environment["LEXICROP_INDEX_DSN"].(string); got != want {
		t.Errorf("the database is reached as %s, but is %s", got, want)
	}
	port := jsonText(t, containerPort(t, serviceOf(t, render(t)).container(t, "lexicrop"), "http"))
	if ports := texts(c.at("services", "lexicrop", "ports")); !slices.Equal(ports, []string{port + ":" + port}) {
		t.Errorf("ports %q", ports)
	}
	for _, volume := range texts(c.at("services", "triton", "volumes")) {
		if from, _, _ := strings.Cut(volume, ":"); strings.HasPrefix(from, "./") {
			if _, err := os.Stat(path.Join("..", from)); err != nil {
				t.Error(err)
			}
		}
	}
}

// That the schema would tell.
func TestAWrongComposeFileIsSeen(t *testing.T) {
	validateCompose(t, "a misspelt key", object{"services": map[string]any{"a": map[string]any{"imagee": "b"}}}, false)
}
