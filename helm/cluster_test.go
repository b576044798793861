package helm_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// cluster is a real control plane (etcd, API server, controllers, scheduler) with simulated kubelets (kwok):
// everything but containers, and what would run in them.
type cluster struct {
	folder     string
	kubeconfig string
}

// patience is for conditions that come true within a second where the machine is idle.
const patience = 3 * time.Minute

// startCluster runs until the end of the test. Its nodes are those of testbed/cluster.yaml.
func startCluster(t *testing.T) *cluster {
	t.Helper()
	var err error
	// A port may be taken by another process between its choice and its use.
	for range 3 {
		var c *cluster
		if c, err = tryStartCluster(t); err == nil {
			c.kubectl(t, "create", "-f", "testbed/cluster.yaml")
			c.eventually(t, "all nodes are ready", func() string {
				for _, node := range c.get(t, "nodes") {
					if !ready(node) || len(node.list("spec", "taints")) != strings.Count(node.name(), "gpu") {
						return node.name() + " is not"
					}
				}
				return ""
			})
			return c
		}
		t.Logf("the control plane is started again: %v", err)
	}
	t.Fatal(err)
	return nil
}

func tryStartCluster(t *testing.T) (*cluster, error) {
	t.Helper()
	c := &cluster{folder: t.TempDir()}
	c.kubeconfig = filepath.Join(c.folder, "kubeconfig")
	port, etcd, peers := freePort(t), freePort(t), freePort(t)
	server := "https://127.0.0.1:" + port
	c.write(t, "tokens.csv", "secret,admin,1,system:masters\n")
	c.write(t, "service-accounts.pem", privateKey(t))
	c.write(t, "kubeconfig", fmt.Sprintf(`{apiVersion: v1, kind: Config, current-context: test,
clusters: [{name: test, cluster: {server: %q, insecure-skip-tls-verify: true}}],
users: [{name: admin, user: {token: secret}}],
contexts: [{name: test, context: {cluster: test, user: admin}}]}`, server))

	exits := make(chan error, 5)
	c.start(t, exits, "etcd", "--name=test", "--data-dir="+filepath.Join(c.folder, "etcd"), "--unsafe-no-fsync",
		"--listen-client-urls=http://127.0.0.1:"+etcd, "--advertise-client-urls=http://127.0.0.1:"+etcd,
		"--listen-peer-urls=http://127.0.0.1:"+peers, "--initial-advertise-peer-urls=http://127.0.0.1:"+peers,
		"--initial-cluster=test=http://127.0.0.1:"+peers)
	accounts := filepath.Join(c.folder, "service-accounts.pem")
	c.start(t, exits, "kube-apiserver", "--etcd-servers=http://127.0.0.1:"+etcd,
		"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--secure-port="+port, "--endpoint-reconciler-type=none",
		"--cert-dir="+filepath.Join(c.folder, "certificates"), "--service-cluster-ip-range=10.96.0.0/16",
		"--authorization-mode=Node,RBAC", "--token-auth-file="+filepath.Join(c.folder, "tokens.csv"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+accounts, "--service-account-signing-key-file="+accounts)
	if err := c.await(t, server+"/readyz", exits); err != nil {
		return nil, err
	}
	c.start(t, exits, "kube-controller-manager", "--kubeconfig="+c.kubeconfig, "--leader-elect=false", "--secure-port=0",
		"--service-account-private-key-file="+accounts, "--node-monitor-grace-period=1h", // a busy machine loses no nodes
		"--horizontal-pod-autoscaler-sync-period=1s")
	c.start(t, exits, "kube-scheduler", "--kubeconfig="+c.kubeconfig, "--leader-elect=false", "--secure-port=0")
	c.start(t, exits, "kwok", "--kubeconfig="+c.kubeconfig, "--config=testbed/stages.yaml", "--manage-all-nodes", "--v=WARN",
		"--node-lease-duration-seconds=40", "--cidr=10.244.0.0/16", "--node-ip=10.0.0.1")
	return c, nil
}

func (c *cluster) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(c.folder, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
}

func privateKey(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

// start runs a program of the test bed until the end of the test.
func (c *cluster) start(t *testing.T, exits chan<- error, name string, arguments ...string) {
	t.Helper()
	p := startProgram(t, exec.Command(tool(t, "bin/"+name), arguments...), name, filepath.Join(c.folder, name+".log"))
	go func() {
		<-p.ended
		exits <- fmt.Errorf("%s ended: %w", name, p.err)
	}()
}

// await returns when url answers 200, or a program has ended.
func (c *cluster) await(t *testing.T, url string, exits <-chan error) error {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // made a moment ago, on this machine
	}}
	defer client.CloseIdleConnections()
	for end := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if err != nil {
			return err
		}
		request.Header.Set("Authorization", "Bearer secret")
		response, err := client.Do(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			err = fmt.Errorf("%s answers %s", url, response.Status)
		}
		select {
		case ended := <-exits:
			return ended
		default:
		}
		if time.Now().After(end) {
			return err
		}
	}
}

// command returns what a client of the cluster prints, and its complaints apart.
func (c *cluster) command(ctx context.Context, name, input string, arguments ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(ctx, filepath.Join(testbed, "bin", name), arguments...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.kubeconfig, "HOME="+c.folder, "XDG_CACHE_HOME="+c.folder, "HELM_DATA_HOME="+c.folder)
	cmd.Stdin = strings.NewReader(input)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	err = cmd.Run()
	return out.String(), complaints.String(), err
}

func (c *cluster) must(t *testing.T, name, input string, arguments ...string) string {
	t.Helper()
	stdout, stderr, err := c.command(t.Context(), name, input, arguments...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(arguments, " "), err, stdout, stderr)
	}
	return stdout
}

func (c *cluster) kubectl(t *testing.T, arguments ...string) string {
	t.Helper()
	return c.must(t, "kubectl", "", arguments...)
}

func (c *cluster) apply(t *testing.T, manifests string) {
	t.Helper()
	c.must(t, "kubectl", manifests, "apply", "-f", "-")
}

// get lists objects.
func (c *cluster) get(t *testing.T, arguments ...string) []object {
	t.Helper()
	var list object
	if err := json.Unmarshal([]byte(c.kubectl(t, append([]string{"get", "-o", "json"}, arguments...)...)), &list); err != nil {
		t.Fatal(err)
	}
	if list.kind() == "List" {
		return list.list("items")
	}
	return []object{list}
}

// eventually waits until a condition lacks nothing.
func (c *cluster) eventually(t *testing.T, what string, lacks func() string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		missing := lacks()
		if missing == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s: %s", what, missing)
		}
	}
}

// namespace makes one that lets restricted pods in alone, for a test, and removes it with all that is in it.
func (c *cluster) namespace(t *testing.T, name string) {
	t.Helper()
	c.apply(t, fmt.Sprintf(`{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {
		pod-security.kubernetes.io/enforce: restricted, pod-security.kubernetes.io/warn: restricted}}}`, name))
	t.Cleanup(func() {
		if _, stderr, err := c.command(context.WithoutCancel(t.Context()), "kubectl", "", "delete", "namespace", name, "--timeout="+patience.String()); err != nil {
			t.Errorf("removing the namespace %s: %v: %s", name, err, stderr)
		}
	})
}

func ready(o object) bool {
	for _, condition := range o.list("status", "conditions") {
		if condition.text("type") == "Ready" {
			return condition.text("status") == "True"
		}
	}
	return false
}
