package main

import (
	"image/jpeg"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestHealthcheckByPhoto(t *testing.T) {
	const found = `{"detections":[{"label":"painting","score":0.99}],"model":{"name":"detector","version":"1"}}`
	tests := []struct {
		name, answer  string
		status        int
		want, failure string
	}{
		{"a work is found", found, 200, "detector 1 found a painting with score 0.99 in ", ""},
		{"nothing is found", `{"detections":[],"model":{"name":"detector","version":"1"}}`, 200, "", "found no artwork in a photo of a painting; its model is detector 1"},
		{"a failure", `{"code":"model_not_ready"}`, 503, "", `503 Service Unavailable: {"code":"model_not_ready"}`},
		{"something else answers", "welcome", 200, "", "what is no result"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				photo, err := jpeg.DecodeConfig(r.Body)
				if err != nil || photo.Width < 320 || r.URL.Path != "/v1/crop" || r.Header.Get("Authorization") != "Bearer sixteen-characters" {
					t.Errorf("%s %v with a photo of %d pixels: %v", r.URL, r.Header, photo.Width, err)
				}
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.answer))
			}))
			defer server.Close()
			t.Setenv("LEXICROP_AUTH_KEYS", "sixteen-characters,another-key-0000")
			out, err := command(t, "healthcheck", "--crop", server.URL+"/")
			if !strings.HasPrefix(out, test.want) || (test.want == "") != (out == "") {
				t.Errorf("printed %q, want %q", out, test.want)
			}
			if (err == nil) != (test.failure == "") || err != nil && !strings.Contains(err.Error(), test.failure) {
				t.Errorf("%v, want %s", err, test.failure)
			}
		})
	}
}
