package helm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// pod runs a container of a rendered Deployment as processes of this machine: with its command, environment,
// ConfigMap, probes and way to go. What differs from a cluster is that its addresses are of this machine,
// and ports are free ones; and a Triton here has the models' own profile, since it has no other backend.
type pod struct {
	address   string // 127.x.y.z
	container object
	ports     map[string]string
	grace     time.Duration
	mount     string // where the ConfigMap is
	process   *program
	ready     atomic.Bool
	watching  sync.WaitGroup
	leave     context.CancelFunc // ends the probes
}

// mountConfigMap writes files as a kubelet does: a folder of their own, and links that are turned over to it
// at once.
func mountConfigMap(t *testing.T, folder string, files map[string]string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(folder, 0o750))
	old, _ := os.Readlink(filepath.Join(folder, "..data"))
	fresh := filepath.Join(folder, time.Now().Format("..2006_01_02_15_04_05.000000000"))
	must(os.Mkdir(fresh, 0o750))
	for name, text := range files {
		must(os.WriteFile(filepath.Join(fresh, name), []byte(text), 0o600))
		if _, err := os.Lstat(filepath.Join(folder, name)); err != nil {
			must(os.Symlink(filepath.Join("..data", name), filepath.Join(folder, name)))
		}
	}
	must(os.Symlink(filepath.Base(fresh), filepath.Join(folder, "..data_tmp")))
	must(os.Rename(filepath.Join(folder, "..data_tmp"), filepath.Join(folder, "..data")))
	if old != "" {
		must(os.RemoveAll(filepath.Join(folder, old)))
	}
}

// start runs the pod's process; its readiness is looked after until it goes.
func (p *pod) start(t *testing.T, name string, cmd *exec.Cmd) {
	t.Helper()
	p.process = startProgram(t, cmd, name+" at "+p.address, filepath.Join(t.TempDir(), name+".log"))
	ctx, cancel := context.WithCancel(t.Context())
	p.leave = cancel
	t.Cleanup(func() { cancel(); p.watching.Wait() })
	p.watching.Go(func() { p.probe(ctx) })
}

// probe keeps ready as a kubelet would, more often.
func (p *pod) probe(ctx context.Context) {
	failures, started := 0, false
	for ctx.Err() == nil {
		probe := "readinessProbe"
		if !started {
			probe = "startupProbe"
		}
		switch ok := p.answers(ctx, probe); {
		case ok && !started:
			started = true
			continue
		case ok:
			failures = 0
			p.ready.Store(true)
		default:
			if failures++; failures >= 3 {
				p.ready.Store(false)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// answers says whether the container's probe succeeds.
func (p *pod) answers(ctx context.Context, probe string) bool {
	seconds, _ := p.container.at(probe, "timeoutSeconds").(int)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(seconds, 1))*time.Second)
	defer cancel()
	status, _, err := get(ctx, p.url(p.container.text(probe, "httpGet", "port"))+p.container.text(probe, "httpGet", "path"))
	return err == nil && status == http.StatusOK
}

func (p *pod) url(port string) string { return "http://" + net.JoinHostPort(p.address, p.ports[port]) }

func get(ctx context.Context, url string) (status int, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// connections counts those that clients have to a port of the pod.
func (p *pod) connections(t *testing.T, port string) int {
	t.Helper()
	// gRPC's server listens by IPv6 for both.
	table, err := os.ReadFile("/proc/net/tcp6")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	more, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(p.ports[port])
	if err != nil {
		t.Fatal(err)
	}
	ip := net.ParseIP(p.address).To4()
	local := fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], number)
	count := 0
	for line := range strings.Lines(string(table) + string(more)) {
		if fields := strings.Fields(line); len(fields) > 3 && strings.HasSuffix(fields[1], local) && fields[3] == "01" {
			count++
		}
	}
	return count
}

// remove lets the pod go as a kubelet does, and complains when it would have to be killed. Endpoints lose it
// a while after it was told: nobody waits for that.
func (p *pod) remove(t *testing.T) {
	t.Helper()
	p.leave()
	p.watching.Wait()
	deadline := time.After(p.grace)
	noticed := make(chan struct{})
	time.AfterFunc(time.Second, func() { p.ready.Store(false); close(noticed) })
	if command := texts(p.container.at("lifecycle", "preStop", "exec", "command")); len(command) > 0 {
		if out, err := exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Errorf("preStop %q: %v: %s", command, err, out)
		}
	}
	if err := p.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Error(err)
	}
	select {
	case <-p.process.ended:
	case <-deadline:
		t.Errorf("the pod at %s has not ended after %v", p.address, p.grace)
		p.process.kill()
	}
	<-noticed
}

// pod is one of a rendered Deployment, not yet started.
func (d *drill) pod(t *testing.T, deployment object, container string) *pod {
	t.Helper()
	seconds, _ := deployment.at("spec", "template", "spec", "terminationGracePeriodSeconds").(int)
	d.pods++
	return &pod{
		address:   fmt.Sprintf("127.%d.%d.%d", 1+os.Getpid()>>8%250, os.Getpid()%250, 1+d.pods),
		container: deployment.container(t, container),
		ports:     d.ports,
		grace:     time.Duration(seconds) * time.Second,
		mount:     filepath.Join(t.TempDir(), "config"),
	}
}

// serve starts a pod of the service.
func (d *drill) serve(t *testing.T) *pod {
	t.Helper()
	p := d.pod(t, find(t, d.rendered, "Deployment", "lx-lexicrop"), "lexicrop")
	d.mount(t, p, "lx-lexicrop")
	arguments := texts(p.container.at("args"))
	for i, argument := range arguments {
		arguments[i] = strings.ReplaceAll(argument, mountOf(p.container, "config"), p.mount)
	}
	cmd := exec.Command(lexicrop(t), arguments...)
	cmd.Env = append(environment(p.container),
		"LEXICROP_SERVER_ADDRESS="+net.JoinHostPort(p.address, p.ports["http"]),
		"LEXICROP_ADMIN_ADDRESS="+net.JoinHostPort(p.address, p.ports["admin"]),
		"LEXICROP_TRITON_ADDRESS="+net.JoinHostPort(d.tritonName, p.ports["grpc"]),
		"GODEBUG=netdns=cgo", "LD_PRELOAD="+d.resolver, "RESOLVE_NAME="+d.tritonName, "RESOLVE_FILE="+d.names)
	p.start(t, "service", cmd)
	return p
}

// infer starts a pod of Triton.
func (d *drill) infer(t *testing.T) *pod {
	t.Helper()
	p := d.pod(t, find(t, d.rendered, "Deployment", "lx-lexicrop-triton"), "triton")
	d.mount(t, p, "lx-lexicrop-triton")
	d.run(t, p)
	return p
}

// run starts Triton in a pod, for the first time or again.
func (d *drill) run(t *testing.T, p *pod) {
	t.Helper()
	variables := environment(p.container)
	var arguments []string
	for _, argument := range texts(p.container.at("args")) {
		for _, variable := range variables {
			name, value, _ := strings.Cut(variable, "=")
			argument = strings.ReplaceAll(argument, "$("+name+")", value)
		}
		for _, name := range []string{"http", "grpc", "metrics"} {
			if strings.HasPrefix(argument, "--"+name+"-port=") {
				argument = "--" + name + "-port=" + p.ports[name]
			}
		}
		if strings.HasPrefix(argument, "--model-config-name=") {
			continue // here is the Python backend alone
		}
		if argument == "--model-repository="+mountOf(p.container, "models") {
			argument = "--model-repository=" + d.repository
		}
		arguments = append(arguments, strings.ReplaceAll(argument, mountOf(p.container, "config"), p.mount))
	}
	memory := fmt.Sprintf("lexicrop_drill_%d_%d_", os.Getpid(), time.Now().UnixNano())
	t.Cleanup(func() { removeAll(t, "/dev/shm/"+memory+"*") })
	arguments = append(arguments, "--http-address="+p.address, "--grpc-address="+p.address, "--metrics-address="+p.address,
		"--backend-config=python,shm-region-prefix-name="+memory, "--disable-auto-complete-config")
	cmd := exec.Command(arguments[0], arguments[1:]...)
	cmd.Env = append(variables, "PATH="+d.tritonPath+":"+os.Getenv("PATH"))
	p.start(t, "triton", cmd)
}

func removeAll(t *testing.T, pattern string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Error(err)
	}
	for _, file := range files {
		if err := os.Remove(file); err != nil {
			t.Error(err)
		}
	}
}

// mount gives a pod the ConfigMap as it is rendered now.
func (d *drill) mount(t *testing.T, p *pod, configMap string) {
	t.Helper()
	files := map[string]string{}
	data, _ := find(t, d.rendered, "ConfigMap", configMap).at("data").(map[string]any)
	for name, text := range data {
		files[name], _ = text.(string)
	}
	mountConfigMap(t, p.mount, files)
}
