package helm_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// serveMetrics answers custom.metrics.k8s.io for the API server: every pod has the value stored for the
// metric. It is registered until the end of the test.
func serveMetrics(t *testing.T, c *cluster, metric string) *atomic.Int64 {
	t.Helper()
	const group = "custom.metrics.k8s.io/v1beta2"
	value := &atomic.Int64{}
	reply := func(w http.ResponseWriter, what object) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(what)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /apis/"+group, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, object{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": []object{
			{"name": "pods/" + metric, "namespaced": true, "kind": "MetricValueList", "verbs": []string{"get"}},
		}})
	})
	mux.HandleFunc("GET /apis/"+group+"/namespaces/{namespace}/pods/{all}/"+metric, func(w http.ResponseWriter, r *http.Request) {
		stdout, stderr, err := c.command(r.Context(), "kubectl", "", "get", "pods", "--output=name",
			"--namespace="+r.PathValue("namespace"), "--selector="+r.FormValue("labelSelector"))
		if err != nil {
			http.Error(w, stderr, http.StatusInternalServerError)
			return
		}
		var items []object
		for name := range strings.FieldsSeq(stdout) {
			items = append(items, object{
				"describedObject": object{"kind": "Pod", "apiVersion": "v1", "namespace": r.PathValue("namespace"), "name": strings.TrimPrefix(name, "pod/")},
				"metric":          object{"name": metric},
				"timestamp":       time.Now().UTC().Format(time.RFC3339),
				"value":           strconv.FormatInt(value.Load(), 10),
			})
		}
		reply(w, object{"kind": "MetricValueList", "apiVersion": group, "metadata": object{}, "items": items})
	})
	server := httptest.NewTLSServer(mux)
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(address.Port())
	if err != nil {
		t.Fatal(err)
	}
	registered, err := json.Marshal(object{"apiVersion": "v1", "kind": "List", "items": []object{
		{"apiVersion": "v1", "kind": "Service", "metadata": object{"name": "metrics", "namespace": "default"}, "spec": object{
			"type": "ExternalName", "externalName": "localhost", "ports": []object{{"port": port}},
		}},
		{"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": object{"name": "v1beta2.custom.metrics.k8s.io"}, "spec": object{
			"service": object{"name": "metrics", "namespace": "default", "port": port}, "group": "custom.metrics.k8s.io", "version": "v1beta2",
			"insecureSkipTLSVerify": true, "groupPriorityMinimum": 100, "versionPriority": 100,
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	c.apply(t, string(registered))
	// An API without its server would keep namespaces from going away.
	t.Cleanup(func() {
		if _, stderr, err := c.command(context.WithoutCancel(t.Context()), "kubectl", string(registered), "delete", "-f", "-"); err != nil {
			t.Errorf("removing the API for metrics: %v: %s", err, stderr)
		}
	})
	c.kubectl(t, "wait", "--for=condition=Available", "apiservice/v1beta2.custom.metrics.k8s.io", "--timeout="+patience.String())
	return value
}
