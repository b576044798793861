package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Every leaf with a range is tried beyond both ends, every enumeration with a
// word that it does not have.
func TestRangesAndEnumerationsAreKept(t *testing.T) {
	for _, l := range leaves() {
		for _, tag := range []string{"min", "max"} {
			limit, found := bound(l, tag)
			if !found {
				if _, other := l.field.Tag.Lookup("min"); other {
					t.Errorf("%s has a min and no max, or the other way round", l.key)
				}
				continue
			}
			c := Default()
			target := l.of(c)
			step := map[string]float64{"min": -1, "max": 1}[tag]
			if target.CanInt() {
				target.SetInt(limit.Int() + int64(step))
			} else {
				target.SetFloat(limit.Float() + step)
			}
			if !hasProblem(c.Validate(), l.key) {
				t.Errorf("%s may be beyond its %s: %v", l.key, tag, target)
			}
		}
		if l.field.Tag.Get("oneof") != "" {
			c := Default()
			if target := l.of(c); target.CanInt() {
				target.SetInt(1) // a log level between two names
			} else {
				target.SetString("perhaps")
			}
			if !hasProblem(c.Validate(), l.key) {
				t.Errorf("%s may be %v", l.key, l.of(c))
			}
		}
		if check := l.field.Tag.Get("check"); check != "" && checks[check] == nil {
			t.Errorf("%s: there is no check %q", l.key, check)
		}
		number := reflect.Zero(l.field.Type).CanInt() && l.field.Type.PkgPath() != "log/slog" || l.field.Type.Kind() == reflect.Float64
		if _, ranged := bound(l, "min"); number && !ranged {
			t.Errorf("%s is a number without a range", l.key)
		}
	}
}

func TestChecks(t *testing.T) {
	tests := []struct {
		check        string
		right, wrong []string
	}{
		{
			"listen",
			[]string{":8080", "127.0.0.1:0", "[::1]:80", "localhost:8080"},
			[]string{"", "8080", "localhost", ":http", ":65536", ":-1", "::1:80", "http://localhost:80"},
		},
		{
			"dial",
			[]string{"", "triton:8001", "10.0.0.1:8001", "[::1]:8001", "triton.models.svc.cluster.local:8001"},
			[]string{"triton", ":8001", "triton:0", "triton:grpc", "http://triton:8001", "dns:///triton:8001", "triton:8001/v2"},
		},
		{"model", []string{"detector", "detector-2.1_b"}, []string{"", "../detector", "a/b", ".hidden", "a b"}},
		{"name", []string{"", "gpu"}, []string{"../gpu", "gpu.pbtxt/"}},
		{"version", []string{"", "1", "12"}, []string{"0", "-1", "1.0", "latest", "v1"}},
		{"header", []string{"Lexicrop-Canary-Key", "X1"}, []string{"", "a b", "a:b", "1a"}},
		{"nonempty", []string{"build/triton"}, []string{""}},
		{"url", []string{"", "http://weaviate:8080", "https://example.org/weaviate"}, []string{"weaviate:8080", "ftp://host", "http://", "http://user:password@host", "http://host?a=b", "http://host#a", "http://ho st"}},
		{"collection", []string{"Lexicrop", "A_1"}, []string{"", "lexicrop", "_a", "Ä", "A-b", "A b", strings.Repeat("A", 300)}},
	}
	for _, test := range tests {
		for _, text := range test.right {
			if want := checks[test.check](text); want != "" {
				t.Errorf("%s %q: %s", test.check, text, want)
			}
		}
		for _, text := range test.wrong {
			if checks[test.check](text) == "" {
				t.Errorf("%s takes %q", test.check, text)
			}
		}
	}
}

func TestWhatMustHoldBetweenValues(t *testing.T) {
	certificate, key := keyPair(t)
	_, otherKey := keyPair(t)
	encrypted := func(t TLS) func(c *Config) {
		return func(c *Config) {
			t.Enabled = true
			c.Triton.Address, c.Triton.TLS = "triton:8001", t
		}
	}
	weaviate := func(w Weaviate) func(c *Config) {
		return func(c *Config) {
			w.Collection, w.Replicas, w.Timeout = c.Index.Weaviate.Collection, c.Index.Weaviate.Replicas, c.Index.Weaviate.Timeout
			c.Index.Store = StoreWeaviate
			c.Index.Weaviate = w
		}
	}
	tests := map[string]struct {
		set  func(c *Config)
		want string // the key to blame, empty for none
	}{
		"answer longer than the connection":  {func(c *Config) { c.Server.WriteTimeout = 5 * time.Second }, "server.request_timeout"},
		"answer as long as the connection":   {func(c *Config) { c.Server.WriteTimeout = 10 * time.Second }, ""},
		"headers longer than the request":    {func(c *Config) { c.Server.ReadTimeout = time.Second }, "server.read_header_timeout"},
		"both listeners on one port":         {func(c *Config) { c.Admin.Address = c.Server.Address }, "admin.address"},
		"both listeners on any port":         {func(c *Config) { c.Admin.Address, c.Server.Address = ":0", ":0" }, ""},
		"more detections than the limit":     {func(c *Config) { c.Crop.Detections = 33 }, "crop.detections"},
		"more results than the limit":        {func(c *Config) { c.Search.Limit = 101 }, "search.limit"},
		"a guard without a middle":           {func(c *Config) { c.Search.MaxArea = 0.05 }, "search.min_area"},
		"PostgreSQL without an address":      {func(c *Config) { c.Index.Store = StorePostgres }, "index.dsn"},
		"PostgreSQL":                         {func(c *Config) { c.Index.Store, c.Index.DSN = StorePostgres, "postgres://host/db" }, ""},
		"an address without PostgreSQL":      {func(c *Config) { c.Index.DSN = "postgres://host/db" }, "index.dsn"},
		"Weaviate without an address":        {func(c *Config) { c.Index.Store = StoreWeaviate }, "index.weaviate.url"},
		"Weaviate":                           {weaviate(Weaviate{URL: "https://weaviate:8080", APIKey: "key", CAFile: certificate}), ""},
		"an address without Weaviate":        {func(c *Config) { c.Index.Weaviate.URL = "http://host" }, "index.weaviate.url"},
		"a key without Weaviate":             {func(c *Config) { c.Index.Weaviate.APIKey = "key" }, "index.weaviate.api_key"},
		"authorities of a plain Weaviate":    {weaviate(Weaviate{URL: "http://weaviate:8080", CAFile: certificate}), "index.weaviate.ca_file"},
		"no authorities of Weaviate's":       {weaviate(Weaviate{URL: "https://weaviate:8080", CAFile: key}), "index.weaviate.ca_file"},
		"keys for changes alone":             {func(c *Config) { c.Auth.WriteKeys = Secrets{"0123456789abcdef"} }, "auth.write_keys"},
		"a canary that is the model itself":  {func(c *Config) { c.Models.Detector.Canary.Name = "detector" }, "models.detector.canary.name"},
		"a canary of another version":        {func(c *Config) { c.Models.Detector.Canary = Canary{Name: "detector", Version: "2"} }, ""},
		"a shadow that is the model itself":  {func(c *Config) { c.Models.Detector.Shadow.Name = "detector" }, "models.detector.shadow.name"},
		"TLS settings without TLS":           {func(c *Config) { c.Triton.TLS.CAFile = certificate }, "triton.tls.ca_file"},
		"TLS to a local Triton":              {func(c *Config) { c.Triton.TLS.Enabled = true }, "triton.tls.enabled"},
		"TLS":                                {encrypted(TLS{}), ""},
		"authorities and client certificate": {encrypted(TLS{CAFile: certificate, CertFile: certificate, KeyFile: key}), ""},
		"no such file":                       {encrypted(TLS{CAFile: "missing.pem"}), "triton.tls.ca_file"},
		"no certificate in the file":         {encrypted(TLS{CAFile: key}), "triton.tls.ca_file"},
		"certificate without key":            {encrypted(TLS{CertFile: certificate}), "triton.tls.key_file"},
		"key without certificate":            {encrypted(TLS{KeyFile: key}), "triton.tls.cert_file"},
		"key of another certificate":         {encrypted(TLS{CertFile: certificate, KeyFile: otherKey}), "triton.tls.cert_file"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := Default()
			test.set(c)
			err := c.Validate()
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
			} else if !hasProblem(err, test.want) {
				t.Errorf("got %v, want a problem of %s", err, test.want)
			}
			if client, err := c.Triton.TLS.Client(); c.Triton.TLS.Enabled && (err == nil) != (client != nil) {
				t.Errorf("Client gives %v, %v", client, err)
			} else if test.want == "" && err != nil {
				t.Error(err)
			}
		})
	}
}

func TestByteSizes(t *testing.T) {
	tests := []struct {
		text  string
		bytes ByteSize
		shown string
	}{
		{"0", 0, "0"},
		{"1", 1, "1"},
		{"1023B", 1023, "1023"},
		{"1KiB", 1024, "1KiB"},
		{"32 mib", 32 << 20, "32MiB"},
		{"2MB", 2e6, "2000000"},
		{"1500KB", 1.5e6, "1500000"},
		{"1536MiB", 1536 << 20, "1536MiB"},
		{"-1KiB", -1024, "-1KiB"},
	}
	for _, test := range tests {
		got, err := parseByteSize(test.text)
		if err != nil || got != test.bytes || got.String() != test.shown {
			t.Errorf("%q is %d (%s), %v; want %d (%s)", test.text, got, got, err, test.bytes, test.shown)
		}
	}
	for _, text := range []string{"", "MiB", "1.5MiB", "1TiB", "9223372036854775807KiB", "1 2", "0x10"} {
		if got, err := parseByteSize(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func TestDurationsAreShownWithoutZeroUnits(t *testing.T) {
	for text, want := range map[string]string{"0s": "0s", "90s": "1m30s", "60s": "1m", "3600s": "1h", "3660s": "1h1m", "20s": "20s", "10m": "10m", "1h0m5s": "1h0m5s"} {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := formatDuration(d); got != want {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}

func TestHeaders(t *testing.T) {
	got, err := parseHeaders([]string{"Authorization: Bearer a:b", "x-key:  1 "})
	if diff := cmp.Diff(Headers{"authorization": "Bearer a:b", "x-key": "1"}, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
	for _, lines := range [][]string{{"name"}, {": value"}, {"name:"}, {"a b: c"}, {"a: b", "A: c"}, {"a: b\nc"}, {"a: é"}} {
		if got, err := parseHeaders(lines); err == nil {
			t.Errorf("%q are the headers %#v", lines, map[string]string(got))
		}
	}
}

func hasProblem(err error, key string) bool {
	var problems Problems
	if !errors.As(err, &problems) {
		return false
	}
	for _, p := range problems {
		if p.Key == key && p.Want != "" {
			return true
		}
	}
	return false
}

// keyPair writes a self-signed certificate and its key.
func keyPair(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	certificate, key = filepath.Join(folder, "certificate.pem"), filepath.Join(folder, "key.pem")
	writeFile(t, certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}))
	writeFile(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
	return certificate, key
}

func copyOf(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	target := strings.TrimSuffix(path, ".pem") + "-copy.pem"
	writeFile(t, target, content)
	return target
}
