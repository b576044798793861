package helm_test

import (
	"strings"
	"testing"
)

// What is misspelt or contradicts itself is refused, in words that tell where and what.
func TestWrongValuesAreRefused(t *testing.T) {
	tests := []struct{ values, want string }{
		// misspelt
		{"trtion.enabled=false", "additional properties 'trtion' not allowed"},
		{"image.tagg=1", "at '/image': additional properties 'tagg' not allowed"},
		{"triton.image.repo=x", "at '/triton/image': additional properties 'repo' not allowed"},
		{"triton.models.s3.uri=s3://x", "at '/triton/models/s3': additional properties 'uri' not allowed"},
		{"autoscaling.max=3", "at '/autoscaling': additional properties 'max' not allowed"},
		{"config.crop.min_scor=0.5", "at '/config/crop': additional properties 'min_scor' not allowed"},
		{"config.servr.read_timeout=1s", "at '/config': additional properties 'servr' not allowed"},
		// of the wrong kind
		{"replicas=0", "at '/replicas': minimum: got 0, want 1"},
		{"replicas=two", "at '/replicas': got string, want integer"},
		{"triton.profile=tpu", "at '/triton/profile': value must be one of 'gpu', 'cpu'"},
		{"triton.models.source=nfs", "at '/triton/models/source': value must be one of 'image', 'claim', 's3', 'gcs'"},
		{"triton.models.s3.url=https://bucket", "at '/triton/models/s3/url': 'https://bucket' does not match pattern"},
		{"triton.external.address=http://triton:8001", "at '/triton/external/address': 'http://triton:8001' does not match pattern"},
		{"triton.gpu.resource=gpu", "at '/triton/gpu/resource': 'gpu' does not match pattern"},
		{"triton.shmSize=1 GB", "at '/triton/shmSize': '1 GB' does not match pattern"},
		{"image.digest=abc", "at '/image/digest': 'abc' does not match pattern"},
		{"index.store=mysql", "at '/index/store': value must be one of"},
		{"service.port=70000", "at '/service/port': maximum: got 70,000, want 65,535"},
		{"config.crop.min_score=2", "at '/config/crop/min_score': maximum: got 2, want 1"},
		{"config.crop.detections=many", "at '/config/crop/detections': got string, want integer"},
		{"config.crop.fallback=half", "at '/config/crop/fallback': value must be one of 'none', 'full'"},
		{"config.server.read_timeout=30", "at '/config/server/read_timeout': got number, want string"},
		{"config.server.read_timeout=half a minute", "at '/config/server/read_timeout': 'half a minute' does not match pattern"},
		// contradictions
		{"replicas=2", "at '/replicas': value must be 1"},
		{"autoscaling.enabled=true", "at '/autoscaling/enabled': value must be false"},
		{"index.store=postgres", "index.store is postgres: set index.postgres.existingSecret"},
		{"index.store=weaviate", "index.store is weaviate: set index.weaviate.url"},
		{"index.weaviate.existingSecret=w", "index.weaviate has no effect unless index.store is weaviate"},
		{"index.store=weaviate,index.weaviate.url=weaviate:8080", "at '/index/weaviate/url': 'weaviate:8080' does not match pattern"},
		{"index.postgres.existingSecret=db", "index.postgres.existingSecret has no effect unless index.store is postgres"},
		{"config.models.embedder.name=", "index.store is sqlite: set config.models.embedder.name"},
		{"triton.enabled=false", "triton.enabled is false: set triton.external.address"},
		{"triton.external.address=triton:8001", "triton.external.address has no effect while triton.enabled is true"},
		{"triton.models.source=claim", "triton.models.source is claim: set triton.models.claim.name"},
		{"triton.models.source=s3", "triton.models.source is s3: set triton.models.s3.url"},
		{"triton.models.source=gcs", "triton.models.source is gcs: set triton.models.gcs.url"},
		{"triton.keda.enabled=true", "triton.keda.enabled needs triton.keda.triggers"},
		{"triton.keda.enabled=true,triton.autoscaling.enabled=true", "would both scale Triton"},
		{"index.store=none,autoscaling.minReplicas=20", "autoscaling.minReplicas must be at most maxReplicas"},
		{"triton.autoscaling.maxReplicas=1,triton.autoscaling.minReplicas=2", "triton.autoscaling.minReplicas must be at most maxReplicas"},
		{"auth.writeKeysKey=write", "auth.writeKeysKey has no effect without auth.existingSecret"},
		{"ingress.enabled=true", "ingress.enabled needs ingress.hosts"},
		{"httpRoute.enabled=true", "httpRoute.enabled needs httpRoute.parentRefs"},
		// what the chart sets
		{"config.server.address=:80", "config.server.address belongs to the chart"},
		{"config.server.shutdown_grace=1m", "config.server.shutdown_grace belongs to the chart: set drain.graceSeconds"},
		{"config.admin.address=:1", "config.admin.address belongs to the chart"},
		{"config.triton.address=t:1", "config.triton.address belongs to the chart: set triton.external.address"},
		{"config.triton.local.profile=x", "config.triton.local belongs to the chart"},
		{"config.index.store=none", "config.index.store belongs to the chart: set index.store"},
		{"config.index.weaviate.api_key=x", "config.index.weaviate.api_key belongs to the chart: it is a secret"},
		{"config.index.dsn=x", "config.index.dsn belongs to the chart: it is a secret"},
		{"config.auth.keys={sixteen-characters}", "config.auth.keys belongs to the chart: they are secret"},
	}
	for _, helm := range []string{"bin/helm", "bin/helm3"} {
		for _, test := range tests {
			out, err := run(t, tool(t, helm), "template", "lx", chart, "--kube-version", newest, "--set", test.values)
			if err == nil || !strings.Contains(out, test.want) {
				t.Errorf("%s --set %s: want %q, got %v: %s", helm, test.values, test.want, err, firstLines(out, 6))
			}
		}
	}
}

func firstLines(text string, n int) string {
	lines := strings.SplitN(text, "\n", n+1)
	return strings.Join(lines[:min(n, len(lines))], "\n")
}

// All contradictions are told at once.
func TestContradictionsAreToldTogether(t *testing.T) {
	out, err := run(t, tool(t, "bin/helm"), "template", "lx", chart, "--set", "triton.models.source=s3,ingress.enabled=true,index.store=postgres,config.models.embedder.name=")
	if err == nil {
		t.Fatal("rendered")
	}
	for _, want := range []string{"triton.models.s3.url", "ingress.hosts", "index.postgres.existingSecret", "config.models.embedder.name"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in %s", want, out)
		}
	}
}
