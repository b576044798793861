package rest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

func TestWorksAndPhotosComeAndGo(t *testing.T) {
	s, _ := searchOnFake(t, config.Default())
	const full = `{"title":"Ölberg","artist":"A | B","year":-50,"link":"https://example.org/a?b=c&d","metadata":{"deep":{"n":1.50,"list":[true,null,"x"]}}}`
	if got := s.put(t, "/v1/works/w1", "application/json", []byte(full)); !sameJSON(t, got.body, `{"id":"w1",`+full[1:]) {
		t.Errorf("the answer is %s", got.body)
	}
	s.put(t, "/v1/works/w1/photos/p?source=a.jpg", "", plain(t, 800, 200, red))
	// What is known of the work stays when a photo comes, the photo when the work changes.
	s.put(t, "/v1/works/w1", "application/json", []byte(`{"title":"Other"}`))
	want := api.WorkEntry{ID: "w1", Title: "Other", Photos: []api.PhotoSummary{{ID: "p", Hash: service.HashOf(plain(t, 800, 200, red)), Source: "a.jpg"}}}
	if d := cmp.Diff(want, decode[api.WorkEntry](t, s.get(t, "/v1/works/w1"), http.StatusOK)); d != "" {
		t.Error(d)
	}
	p := decode[api.Photo](t, s.get(t, "/v1/works/w1/photos/p"), http.StatusOK)
	if len(p.Vector) != tritontest.EmbedderDimension || !p.HasCrop || p.Source != "a.jpg" {
		t.Errorf("the photo is %+v", p)
	}
	crop := s.get(t, "/v1/works/w1/photos/p/crop")
	picture, err := jpeg.DecodeConfig(bytes.NewReader(crop.body))
	if err != nil || picture.Width != 448 || picture.Height != 112 {
		t.Errorf("the crop is %dx%d, %v", picture.Width, picture.Height, err)
	}
	again := s.send(t, http.MethodGet, "/v1/works/w1/photos/p/crop", "", nil, "If-None-Match", crop.Header.Get("ETag"))
	if again.StatusCode != http.StatusNotModified || len(again.body) != 0 {
		t.Errorf("a crop that is known: status %d with %d bytes", again.StatusCode, len(again.body))
	}
	// The same picture under another id is one photo; a work that is not there is made.
	s.put(t, "/v1/works/w1/photos/q", "", plain(t, 800, 200, red))
	s.put(t, "/v1/works/w2/photos/q", "", plain(t, 400, 100, blue))
	if got := decode[api.WorkEntry](t, s.get(t, "/v1/works/w1"), http.StatusOK); len(got.Photos) != 1 || got.Photos[0].ID != "q" {
		t.Errorf("the photos are %+v", got.Photos)
	}
	for _, path := range []string{"/v1/works/w1/photos/q", "/v1/works/w2"} {
		if a := s.send(t, http.MethodDelete, path, "", nil); a.StatusCode != http.StatusNoContent {
			t.Errorf("DELETE %s: status %d: %s", path, a.StatusCode, a.body)
		}
	}
	for _, path := range []string{"/v1/works/w1/photos/q", "/v1/works/w1/photos/q/crop", "/v1/works/w2", "/v1/works/none/photos/q"} {
		wantProblem(t, s.get(t, path), http.StatusNotFound, service.CodeNotInCatalogue)
		if !strings.HasSuffix(path, "crop") {
			wantProblem(t, s.send(t, http.MethodDelete, path, "", nil), http.StatusNotFound, service.CodeNotInCatalogue)
		}
	}
	if got := decode[api.WorkEntry](t, s.get(t, "/v1/works/w1"), http.StatusOK); len(got.Photos) != 0 {
		t.Errorf("the photos are %+v", got.Photos)
	}
	s.settle(t)
}

// A reproduction is the work itself; a photo of it is cropped when asked.
func TestAPhotoIsCroppedWhenAsked(t *testing.T) {
	s, fake := searchOnFake(t, onlyOneLook(), main)
	before := fake.Counts("detector").Inferences
	got := decode[api.PhotoResult](t, s.put(t, "/v1/works/w/photos/p", "", photo(t, 640, 320)), http.StatusOK)
	if !slices.Equal(got.Region, []int{0, 0, 640, 320}) || got.Detector != nil || fake.Counts("detector").Inferences != before {
		t.Errorf("%+v", got)
	}
	got = decode[api.PhotoResult](t, s.put(t, "/v1/works/w/photos/p?crop=true", "", photo(t, 640, 320)), http.StatusOK)
	if !slices.Equal(got.Region, []int{100, 40, 300, 240}) || got.Detector == nil || got.Work != "w" || got.ID != "p" {
		t.Errorf("%+v", got)
	}
	crop, err := jpeg.Decode(bytes.NewReader(s.get(t, "/v1/works/w/photos/p/crop").body))
	if err != nil || crop.Bounds().Dx() != 200 {
		t.Fatalf("%v, %v", crop.Bounds(), err)
	}
	if r, _, b, _ := crop.At(195, 100).RGBA(); r>>8 < 180 || b>>8 > 60 {
		t.Errorf("the crop's right edge is %v", crop.At(195, 100))
	}
}

func TestCropsAreKeptUnlessToldOtherwise(t *testing.T) {
	cfg := config.Default()
	cfg.Index.KeepCrops = false
	s, _ := searchOnFake(t, cfg)
	s.put(t, "/v1/works/w/photos/p", "", plain(t, 10, 10, red))
	wantProblem(t, s.get(t, "/v1/works/w/photos/p/crop"), http.StatusNotFound, service.CodeNotInCatalogue)
	if p := decode[api.Photo](t, s.get(t, "/v1/works/w/photos/p"), http.StatusOK); p.HasCrop {
		t.Error("a crop is announced")
	}
}

// Ids are of the catalogue's choice: whatever URLs can carry is the same id on every way.
func TestIdsOfEveryKind(t *testing.T) {
	s, _ := searchOnFake(t, config.Default())
	for id, path := range map[string]string{
		"plain": "plain", "a b": "a%20b", "a/b": "a%2Fb", "ä": "%C3%A4", "a%2Fb": "a%252Fb", "a?b#c": "a%3Fb%23c", "a+b": "a+b", "x:y": "x:y", "..": "%2E%2E", "a;b,c": "a;b,c",
	} {
		s.put(t, "/v1/works/"+path, "application/json", []byte(`{"title":"x"}`))
		s.put(t, "/v1/works/"+path+"/photos/"+path, "", plain(t, 10, 10, red))
		got := decode[api.WorkEntry](t, s.get(t, "/v1/works/"+path), http.StatusOK)
		if got.ID != id || len(got.Photos) != 1 || got.Photos[0].ID != id {
			t.Errorf("%s: %+v, want the id %q", path, got, id)
		}
		if p := decode[api.Photo](t, s.get(t, "/v1/works/"+path+"/photos/"+path), http.StatusOK); p.ID != id {
			t.Errorf("%s: the photo %q", path, p.ID)
		}
	}
	for _, path := range []string{"%00", "%FF", "a%0Ab", strings.Repeat("x", 257)} {
		wantProblem(t, s.send(t, http.MethodPut, "/v1/works/"+path, "application/json", []byte(`{}`)), http.StatusBadRequest, service.CodeInvalid)
	}
}

func TestBadWorksGetTheirProblem(t *testing.T) {
	s, _ := searchOnFake(t, config.Default())
	for name, body := range map[string]string{
		"nothing": "", "no JSON": "x", "a list": "[]", "null": "null", "an unknown field": `{"colour":"red"}`, "another id": `{"id":"other"}`,
		"a title that is a number": `{"title":5}`, "half a year": `{"year":1.5}`, "too late a year": `{"year":99999999999}`, "metadata that is a list": `{"metadata":[1]}`,
		"two": `{}{}`, "a NUL": `{"title":"\u0000"}`, "too long a title": `{"title":"` + strings.Repeat("x", 5000) + `"}`,
		"too much metadata": `{"metadata":{"x":"` + strings.Repeat("x", 70000) + `"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			problem := wantProblem(t, s.send(t, http.MethodPut, "/v1/works/w", "application/json", []byte(body)), http.StatusBadRequest, service.CodeInvalid)
			if strings.Contains(*problem.Detail, "Go ") || strings.Contains(*problem.Detail, "api.") {
				t.Errorf("the detail speaks of the code: %s", *problem.Detail)
			}
		})
	}
	wantProblem(t, s.send(t, http.MethodPut, "/v1/works/w", "application/json", make([]byte, maxWorkBytes+1)), http.StatusRequestEntityTooLarge, service.CodeTooManyBytes)
	wantProblem(t, s.get(t, "/v1/works/w"), http.StatusNotFound, service.CodeNotInCatalogue)
	wantProblem(t, s.send(t, http.MethodPut, "/v1/works/w/photos/p", "", []byte("hello")), http.StatusUnsupportedMediaType, service.CodeNotAnImage)
	wantProblem(t, s.send(t, http.MethodPut, "/v1/works/w/photos/p?limit=1", "", plain(t, 9, 9, red)), http.StatusBadRequest, service.CodeInvalid)
	s.settle(t)
}

func TestWorksAreListedByPages(t *testing.T) {
	s, _ := searchOnFake(t, config.Default())
	for i := range 25 {
		s.put(t, fmt.Sprintf("/v1/works/w%02d", i), "application/json", fmt.Appendf(nil, `{"year":%d}`, 1000+i%2))
	}
	var got []string
	for cursor, pages := "", 0; ; pages++ {
		page := decode[api.WorkPage](t, s.get(t, "/v1/works?limit=5&filter=year=1001&cursor="+cursor), http.StatusOK)
		for _, w := range page.Works {
			got = append(got, w.ID)
		}
		if cursor = page.Next; cursor == "" {
			if pages != 2 {
				t.Errorf("%d pages", pages+1)
			}
			break
		}
	}
	if len(got) != 12 || got[0] != "w01" || got[11] != "w23" || !slices.IsSorted(got) {
		t.Errorf("the works are %v", got)
	}
	for _, bad := range []string{"limit=0", "limit=101", "cursor=x", "filter=x", "photos=1", "limit=1&limit=2"} {
		wantProblem(t, s.get(t, "/v1/works?"+bad), http.StatusBadRequest, service.CodeInvalid)
	}
	wantProblem(t, s.send(t, http.MethodDelete, "/v1/works", "", nil), http.StatusBadRequest, service.CodeInvalid)
	wantProblem(t, s.send(t, http.MethodDelete, "/v1/works?limit=1&filter=year=1001", "", nil), http.StatusBadRequest, service.CodeInvalid)
	if d := decode[api.Deleted](t, s.send(t, http.MethodDelete, "/v1/works?filter=year=1001", "", nil), http.StatusOK); d.Deleted != 12 {
		t.Errorf("%d were deleted", d.Deleted)
	}
	if page := decode[api.WorkPage](t, s.get(t, "/v1/works"), http.StatusOK); len(page.Works) != 13 {
		t.Errorf("%d are left", len(page.Works))
	}
}

// Another embedder takes searching away, and nothing else: what is known can be read and deleted, and
// photos are cropped.
func TestACatalogueOfAnotherSpace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalogue.db")
	first := tritontest.New(t, tritontest.Detector("detector", main), tritontest.Embedder("embedder"))
	s := startSearching(t, config.Default(), path, triton.Options{Address: first.Address()})
	if _, err := s.service.WaitCatalogue(t.Context()); err != nil {
		t.Fatal(err)
	}
	threeWorks(t, s)
	s.Close()
	s.service.Close()

	other := tritontest.Embedder("embedder")
	fingerprint := strings.Repeat("7", 64)
	other.Config.Parameters["fingerprint"].StringValue = fingerprint
	second := tritontest.New(t, tritontest.Detector("detector", main), other)
	s = startSearching(t, config.Default(), path, triton.Options{Address: second.Address()})
	if _, err := s.service.WaitCatalogue(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, a := range []answer{
		s.post(t, "/v1/search", "", photo(t, 64, 64)),
		s.send(t, http.MethodPut, "/v1/works/red/photos/x", "", plain(t, 9, 9, red)),
	} {
		problem := wantProblem(t, a, http.StatusConflict, service.CodeOtherSpace)
		if !strings.Contains(*problem.Detail, fingerprint) || !strings.Contains(*problem.Detail, "fedcba9876543210") {
			t.Errorf("the detail does not name both: %s", *problem.Detail)
		}
	}
	models := decode[api.Models](t, s.get(t, "/v1/models"), http.StatusOK)
	if c := models.Catalogue; c == nil || c.Ready || c.Reason == nil || !strings.Contains(*c.Reason, fingerprint) || c.Space == nil {
		t.Errorf("the catalogue's status is %+v", c)
	}
	decode[api.CropResult](t, s.post(t, "/v1/crop", "", photo(t, 64, 64)), http.StatusOK)
	decode[api.EmbedResult](t, s.post(t, "/v1/embed", "", photo(t, 64, 64)), http.StatusOK)
	decode[api.WorkEntry](t, s.get(t, "/v1/works/red"), http.StatusOK)
	s.put(t, "/v1/works/red", "application/json", []byte(`{"title":"New"}`))
	if a := s.send(t, http.MethodDelete, "/v1/works/blue", "", nil); a.StatusCode != http.StatusNoContent {
		t.Errorf("deleting: status %d", a.StatusCode)
	}
	if got := s.admin(t, "/readyz"); got.StatusCode != http.StatusOK || !bytes.Contains(got.body, []byte(`"catalogue":{"ready":false`)) {
		t.Errorf("/readyz: status %d: %s", got.StatusCode, got.body)
	}
}

// A catalogue that another process has is waited for; cropping does not wait.
func TestACatalogueThatCannotBeOpenedYet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalogue.db")
	fake := tritontest.New(t, tritontest.Detector("detector", main), tritontest.Embedder("embedder"))
	holder := startSearching(t, config.Default(), path, triton.Options{Address: fake.Address()})
	if _, err := holder.service.WaitCatalogue(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := startSearching(t, config.Default(), path, triton.Options{Address: fake.Address()})
	if _, err := s.service.WaitCatalogue(t.Context()); service.AsError(err).Code != service.CodeCatalogueGone {
		t.Fatalf("it was opened twice: %v", err)
	}
	a := s.post(t, "/v1/search", "", photo(t, 64, 64))
	problem := wantProblem(t, a, http.StatusServiceUnavailable, service.CodeCatalogueGone)
	if a.Header.Get("Retry-After") == "" || strings.Contains(*problem.Detail, path) {
		t.Errorf("the answer is %s with Retry-After %q", a.body, a.Header.Get("Retry-After"))
	}
	decode[api.CropResult](t, s.post(t, "/v1/crop", "", photo(t, 64, 64)), http.StatusOK)
	if got := s.admin(t, "/readyz"); got.StatusCode != http.StatusOK {
		t.Errorf("/readyz: status %d: %s", got.StatusCode, got.body)
	}
	holder.Close()
	holder.service.Close()
	eventually(t, "the catalogue is open", func() bool { return s.post(t, "/v1/search", "", photo(t, 64, 64)).StatusCode == http.StatusOK })
}

func TestTheCatalogueIsMadeWhenTheEmbedderIsKnown(t *testing.T) {
	embedder := tritontest.Embedder("embedder")
	embedder.LoadDelay = 300 * time.Millisecond
	fake := tritontest.New(t, tritontest.Detector("detector", main), embedder)
	fake.SetLoaded("embedder", false)
	path := filepath.Join(t.TempDir(), "catalogue.db")
	s := startSearching(t, config.Default(), path, triton.Options{Address: fake.Address()})
	if _, err := s.service.WaitCatalogue(t.Context()); err != nil {
		t.Fatal(err)
	}
	decode[api.SearchResult](t, s.post(t, "/v1/search", "", photo(t, 64, 64)), http.StatusOK)
}

// admin asks the listener for the operator.
func (s *testServer) admin(t *testing.T, path string) answer {
	t.Helper()
	recorder := httptest.NewRecorder()
	s.server.admin.Handler.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
	return answer{recorder.Result(), recorder.Body.Bytes()}
}

func sameJSON(t *testing.T, got []byte, want string) bool {
	t.Helper()
	var a, b any
	if err := json.Unmarshal(got, &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(want), &b); err != nil {
		t.Fatal(err)
	}
	return cmp.Equal(a, b)
}
