package config

import (
	"fmt"
	"net"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Validate checks every value, and what must hold between them. The error is
// of type Problems. Load has done that already.
func (c *Config) Validate() error { return c.validate().err() }

func (c *Config) validate() Problems {
	var problems Problems
	for _, l := range leaves() {
		value := l.of(c)
		want := outOfRange(l, value)
		if check := checks[l.field.Tag.Get("check")]; want == "" && check != nil {
			want = check(value.String())
		}
		if want != "" {
			problems = append(problems, c.problem(l.key, want))
		}
	}
	return append(problems, c.validateTogether()...)
}

// validateTogether checks what must hold between values.
func (c *Config) validateTogether() Problems {
	var problems Problems
	require := func(holds bool, key, want string, arguments ...any) {
		if !holds {
			problems = append(problems, c.problem(key, fmt.Sprintf(want, arguments...)))
		}
	}
	s, t := c.Server, c.Triton
	require(s.RequestTimeout <= s.WriteTimeout, "server.request_timeout",
		"it must be at most server.write_timeout (%s), or the connection is cut before the answer", formatDuration(s.WriteTimeout))
	require(s.ReadHeaderTimeout <= s.ReadTimeout, "server.read_header_timeout",
		"it must be at most server.read_timeout (%s), which includes it", formatDuration(s.ReadTimeout))
	require(c.Admin.Address != s.Address || strings.HasSuffix(s.Address, ":0"), "admin.address",
		"it must be another one than server.address, or both listeners want the same port")
	require(c.Crop.Detections <= c.Limits.MaxDetections, "crop.detections",
		"it must be at most limits.max_detections (%d)", c.Limits.MaxDetections)
	require(c.Search.Limit <= c.Limits.MaxResults, "search.limit",
		"it must be at most limits.max_results (%d)", c.Limits.MaxResults)
	require(c.Search.MinArea <= c.Search.MaxArea, "search.min_area",
		"it must be at most search.max_area (%v)", c.Search.MaxArea)
	require(c.Index.Store != StorePostgres || c.Index.DSN != "", "index.dsn", "a postgres store needs it")
	require(c.Index.Store == StorePostgres || c.Index.DSN == "", "index.dsn", "it has no effect unless index.store is postgres")
	c.validateWeaviate(require)
	require(len(c.Auth.WriteKeys) == 0 || len(c.Auth.Keys) > 0, "auth.write_keys",
		"it has no effect unless auth.keys has keys, too: without them everyone may ask")
	c.validateModels(require)
	if !t.TLS.Enabled {
		for _, key := range []string{"ca_file", "cert_file", "key_file", "server_name"} {
			key = "triton.tls." + key
			require(c.text(key) == "", key, "it has no effect unless triton.tls.enabled is true")
		}
		return problems
	}
	require(t.Address != "", "triton.tls.enabled", "a local Triton is reached without TLS: set triton.address, or no TLS")
	return append(problems, t.TLS.validate(c)...)
}

func (c *Config) validateWeaviate(require func(holds bool, key, want string, arguments ...any)) {
	w, chosen := c.Index.Weaviate, c.Index.Store == StoreWeaviate
	require(!chosen || w.URL != "", "index.weaviate.url", "a weaviate store needs it")
	for _, key := range []string{"url", "api_key", "ca_file"} {
		key = "index.weaviate." + key
		require(chosen || c.text(key) == "", key, "it has no effect unless index.store is weaviate")
	}
	if _, err := w.TLS(); err != nil {
		require(false, "index.weaviate.ca_file", "it must be a PEM file of certificates: %v", err)
	}
	require(w.CAFile == "" || strings.HasPrefix(w.URL, "https:"), "index.weaviate.ca_file", "it has no effect unless index.weaviate.url is one of https")
}

// validateModels refuses to compare a model with itself.
func (c *Config) validateModels(require func(holds bool, key, want string, arguments ...any)) {
	d, e := c.Models.Detector, c.Models.Embedder
	for _, m := range []struct {
		key, name, version, ofName, ofVersion string
	}{
		{"models.detector.canary.name", d.Canary.Name, d.Canary.Version, d.Name, d.Version},
		{"models.detector.shadow.name", d.Shadow.Name, d.Shadow.Version, d.Name, d.Version},
		{"models.embedder.shadow.name", e.Shadow.Name, e.Shadow.Version, e.Name, e.Version},
	} {
		require(m.name == "" || m.name != m.ofName || m.version != m.ofVersion, m.key,
			"it must be another model, or another version, than the one that answers")
	}
}

// problem describes what is wrong with the value of a key.
func (c *Config) problem(key, want string) Problem {
	l := leafOf(key)
	return Problem{Key: key, Value: l.show(l.quote(c.text(key))), Want: want}
}

// text is the value of a key as one would write it.
func (c *Config) text(key string) string { return strings.Join(format(leafOf(key).of(c)), ",") }

func leafOf(key string) leaf {
	all := leaves()
	i := slices.IndexFunc(all, func(l leaf) bool { return l.key == key })
	if i < 0 {
		panic("there is no configuration key " + key)
	}
	return all[i]
}

// outOfRange checks min, max and oneof. It returns what would be right, empty
// when it is.
func outOfRange(l leaf, value reflect.Value) string {
	if oneof := strings.Fields(l.field.Tag.Get("oneof")); len(oneof) > 0 && !slices.Contains(oneof, format(value)[0]) {
		return "it must be one of " + strings.Join(oneof, ", ")
	}
	least, hasLeast := bound(l, "min")
	most, hasMost := bound(l, "max")
	// Written so that NaN is out of every range.
	if (!hasLeast || number(value) >= number(least)) && (!hasMost || number(value) <= number(most)) {
		return ""
	}
	return fmt.Sprintf("it must be between %s and %s", l.field.Tag.Get("min"), l.field.Tag.Get("max"))
}

// bound is the value of the tag min or max.
func bound(l leaf, tag string) (reflect.Value, bool) {
	text, found := l.field.Tag.Lookup(tag)
	value := reflect.New(l.field.Type).Elem()
	if !found {
		return value, false
	}
	if err := parse(value, text); err != nil {
		panic(fmt.Sprintf("tag %s of %s: %v", tag, l.key, err))
	}
	return value, true
}

// number makes any numeric value comparable; the bounds there are fit exactly.
func number(value reflect.Value) float64 {
	if value.CanInt() {
		return float64(value.Int())
	}
	return value.Float()
}

// checks are the rules that the tag check names. They return what would be
// right, empty when it is.
var checks = map[string]func(text string) string{
	"listen":   checkListen,
	"dial":     checkDial,
	"nonempty": func(text string) string { return unless(text != "", "it must not be empty") },
	"name":     func(text string) string { return unless(text == "" || isName(text), wantName) },
	"model":    func(text string) string { return unless(isName(text), wantName) },
	"version":  checkVersion,
	"header":   func(text string) string { return unless(isHeader(text), wantHeader) },
	"url":      checkURL,
	"collection": func(text string) string {
		return unless(isCollection(text), "it must be a name of letters, digits and underscores that begins with a capital letter")
	},
}

func unless(holds bool, want string) string {
	if holds {
		return ""
	}
	return want
}

const wantName = `it must be a name of letters, digits, "-", "_" and "."`

var isName = regexp.MustCompile(`^\w[\w.-]*$`).MatchString

const wantHeader = `it must be the name of a request header, such as "Lexicrop-Canary-Key"`

var isHeader = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*$`).MatchString

func checkListen(address string) string {
	_, port, err := net.SplitHostPort(address)
	return unless(err == nil && isPort(port, 0), `it must be an address and port to listen on, such as ":8080" or "127.0.0.1:8080"`)
}

func checkDial(address string) string {
	if address == "" {
		return ""
	}
	host, port, err := net.SplitHostPort(address)
	return unless(err == nil && host != "" && !strings.Contains(host, "/") && isPort(port, 1),
		`it must be host:port without a scheme, such as "triton:8001"; all addresses of the host are used`)
}

func isPort(text string, least uint64) bool {
	port, err := strconv.ParseUint(text, 10, 16)
	return err == nil && port >= least
}

var isCollection = regexp.MustCompile(`^[A-Z][_0-9A-Za-z]{0,199}$`).MatchString

func checkURL(text string) string {
	u, err := url.Parse(text)
	return unless(text == "" || err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == "",
		`it must be a URL such as "https://weaviate:8080", without a user, a query or a fragment`)
}

func checkVersion(text string) string {
	version, err := strconv.ParseUint(text, 10, 63)
	return unless(text == "" || err == nil && version > 0, "it must be a whole number from 1, as the model's version folders are called, or empty for the newest")
}
