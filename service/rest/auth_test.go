package rest

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"golang.org/x/time/rate"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/service"
)

const (
	clientKey = "a-client-0123456789"
	writerKey = "a-writer-0123456789"
)

func TestKeys(t *testing.T) {
	cfg := config.Default()
	cfg.Auth.Keys = config.Secrets{clientKey, "another-client-0123456789"}
	s, _ := searchOnFake(t, cfg, main)
	for _, test := range []struct {
		name   string
		header []string
		status int
	}{
		{"none", nil, http.StatusUnauthorized},
		{"bearer", []string{"Authorization", "Bearer " + clientKey}, http.StatusOK},
		{"bearer in small letters", []string{"Authorization", "bearer another-client-0123456789"}, http.StatusOK},
		{"header", []string{"X-API-Key", clientKey}, http.StatusOK},
		{"wrong", []string{"X-API-Key", "a-client-0123456780"}, http.StatusUnauthorized},
		{"beginning", []string{"X-API-Key", clientKey[:16]}, http.StatusUnauthorized},
		{"both at once", []string{"X-API-Key", clientKey + "another-client-0123456789"}, http.StatusUnauthorized},
		{"basic", []string{"Authorization", "Basic " + clientKey}, http.StatusUnauthorized},
		{"empty", []string{"Authorization", "Bearer "}, http.StatusUnauthorized},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, path := range []string{"/v1/models", "/v1/limits", "/v1/works", "/v1/export"} {
				a := s.send(t, http.MethodGet, path, "", nil, test.header...)
				if a.StatusCode != test.status {
					t.Errorf("%s: status %d", path, a.StatusCode)
				}
				if test.status == http.StatusUnauthorized {
					wantProblem(t, a, test.status, service.CodeUnauthorized)
					if a.Header.Get("WWW-Authenticate") == "" {
						t.Error("no WWW-Authenticate")
					}
				}
			}
			if a := s.send(t, http.MethodPost, "/v1/crop", "", photo(t, 64, 64), test.header...); a.StatusCode != test.status {
				t.Errorf("crop: status %d", a.StatusCode)
			}
		})
	}
	for _, path := range []string{"/", "/page.js", "/docs", "/openapi.yaml"} {
		if a := s.get(t, path); a.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", path, a.StatusCode)
		}
	}
	if a := s.admin(t, "/readyz"); a.StatusCode != http.StatusOK {
		t.Errorf("/readyz: status %d", a.StatusCode)
	}
}

// Every route of the contract asks for a key, whatever is added later.
func TestEveryRouteOfTheContractNeedsAKey(t *testing.T) {
	cfg := config.Default()
	cfg.Auth.Keys, cfg.Auth.WriteKeys = config.Secrets{clientKey}, config.Secrets{writerKey}
	s, _ := searchOnFake(t, cfg, main)
	changes := map[string]bool{}
	doc, err := openapi3.NewLoader().LoadFromData(api.Spec)
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			wantProblem(t, s.send(t, method, path, "", nil), http.StatusUnauthorized, service.CodeUnauthorized)
			a := s.send(t, method, path, "", nil, "X-API-Key", clientKey)
			if a.StatusCode == http.StatusForbidden {
				wantProblem(t, a, http.StatusForbidden, service.CodeForbidden)
				changes[method+" "+path] = true
			}
			if a := s.send(t, method, path, "", nil, "X-API-Key", writerKey); a.StatusCode == http.StatusForbidden || a.StatusCode == http.StatusUnauthorized {
				t.Errorf("%s %s: the key for changes gets status %d", method, path, a.StatusCode)
			}
		}
	}
	for _, change := range []string{
		"DELETE /v1/works", "PUT /v1/works/{id}", "DELETE /v1/works/{id}",
		"PUT /v1/works/{id}/photos/{photo}", "DELETE /v1/works/{id}/photos/{photo}", "POST /v1/import",
	} {
		if !changes[change] {
			t.Errorf("%s is allowed with the key of a client", change)
		}
	}
	if len(changes) != 6 {
		t.Errorf("the key of a client is refused for %v", changes)
	}
}

func TestRates(t *testing.T) {
	cfg := config.Default()
	cfg.Auth.Keys, cfg.Auth.Rate, cfg.Auth.Burst = config.Secrets{clientKey, writerKey}, 0.01, 3
	s, _ := searchOnFake(t, cfg, main)
	ask := func(key string) answer { return s.send(t, http.MethodGet, "/v1/limits", "", nil, "X-API-Key", key) }
	for range 3 {
		if a := ask(clientKey); a.StatusCode != http.StatusOK {
			t.Fatalf("status %d: %s", a.StatusCode, a.body)
		}
	}
	a := ask(clientKey)
	wantProblem(t, a, http.StatusTooManyRequests, service.CodeRateLimited)
	if seconds, err := strconv.Atoi(a.Header.Get("Retry-After")); err != nil || seconds < 90 || seconds > 100 {
		t.Errorf("Retry-After is %q", a.Header.Get("Retry-After"))
	}
	if a := ask(writerKey); a.StatusCode != http.StatusOK {
		t.Errorf("another client: status %d", a.StatusCode)
	}
	if a := s.get(t, "/"); a.StatusCode != http.StatusOK {
		t.Errorf("the page: status %d", a.StatusCode)
	}

	cfg.Auth.Keys = nil
	s, _ = searchOnFake(t, cfg, main)
	for i := range 4 {
		if a := s.get(t, "/v1/limits"); (a.StatusCode == http.StatusTooManyRequests) != (i == 3) {
			t.Errorf("request %d of an address: status %d", i, a.StatusCode)
		}
	}
}

func TestLimitersForgetNobodyWhoAsks(t *testing.T) {
	l := newLimiters(rate.Limit(1), 2)
	now := time.Now()
	for i := range 3 {
		if wait := l.wait("a", now); (wait > 0) != (i == 2) {
			t.Errorf("request %d waits %v", i, wait)
		}
	}
	// Who was sent away is not punished for it.
	if wait := l.wait("a", now); wait > time.Second {
		t.Errorf("the wait grew to %v", wait)
	}
	// Of ten generations of others, at most two are kept.
	for i := range 10 * maxClients {
		l.wait(fmt.Sprint(i), now)
		if i%100 == 0 && l.wait("a", now) == 0 {
			t.Fatalf("a client that kept asking was forgotten after %d others", i)
		}
	}
	if kept := len(l.newer) + len(l.older); kept > 2*maxClients {
		t.Errorf("%d clients are remembered", kept)
	}
	if wait := l.wait("a", now.Add(3*time.Second)); wait != 0 {
		t.Errorf("later it still waits %v", wait)
	}
}

func TestAddressesOfClients(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:1234": "192.0.2.1", "[::ffff:192.0.2.1]:80": "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::/64", "[2001:db8:1:2:ffff::1]:2": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1": "fe80::/64", "@": "@",
	} {
		if got := addressOf(remote); got != want {
			t.Errorf("%s is %s, want %s", remote, got, want)
		}
	}
}
