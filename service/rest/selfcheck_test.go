package rest

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/index/sqlite"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/inference"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

// colourful is a JPEG of 4x4 fields, which differ from one n to another.
func colourful(t testing.TB, n, w, h int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		field := 4*(4*(i/w)/h) + 4*(i%w)/w
		m.SetRGBA(i%w, i/w, color.RGBA{byte(40 + 37*n*(field+1)%170), byte(40 + 53*n*(field+2)%170), byte(40 + 71*n*(field+3)%170), 255})
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// filled makes a catalogue of colourful works through the API, and returns its file. change makes of
// each entry what the catalogue then holds.
func filled(t *testing.T, works, side int, change func(n int, p *index.Photo)) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "catalogue.db")
	fake := tritontest.New(t, tritontest.Detector("detector"), tritontest.Embedder("embedder"))
	s := startSearching(t, onlyOneLook(), path, triton.Options{Address: fake.Address()})
	if _, err := s.service.WaitCatalogue(t.Context()); err != nil {
		t.Fatal(err)
	}
	for n := range works {
		s.put(t, fmt.Sprintf("/v1/works/w%02d/photos/p", n), "", colourful(t, n+1, side, side))
	}
	s.service.Close()
	if change == nil {
		return path
	}
	store, err := sqlite.Open(t.Context(), path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	info, err := store.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for n := range works {
		id := fmt.Sprintf("w%02d", n)
		p, err := store.GetPhoto(t.Context(), id, "p")
		if err != nil {
			t.Fatal(err)
		}
		p.Vector = slices.Clone(p.Vector)
		change(n, &p)
		if err := store.Upsert(t.Context(), info.Space, index.Entry{Work: index.Work{ID: id}, Photos: []index.Photo{p}}); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func (s *testServer) isReady(t *testing.T) bool {
	t.Helper()
	return s.admin(t, "/readyz").StatusCode == http.StatusOK
}

func TestACatalogueThatFindsItsOwnCropsIsReady(t *testing.T) {
	turned := func(p *index.Photo) { slices.Reverse(p.Vector) }
	for _, test := range []struct {
		name        string
		works, side int
		change      func(n int, p *index.Photo)
	}{
		{"an empty one", 0, 0, nil},
		{"large crops", 12, 400, nil},
		{"crops that are reduced", 3, 1500, nil},
		{"a single odd vector", 8, 400, func(n int, p *index.Photo) {
			if n == 3 {
				turned(p)
			}
		}},
		{"smaller than what the network sees", 3, 40, nil},
		{"no crops", 3, 400, func(_ int, p *index.Photo) { turned(p); p.Crop = nil }},
		{"crops that are no pictures", 3, 400, func(_ int, p *index.Photo) { turned(p); p.Crop = []byte("no picture") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filled(t, test.works, test.side, test.change)
			fake := tritontest.New(t, tritontest.Detector("detector"), tritontest.Embedder("embedder"))
			s := startSearching(t, onlyOneLook(), path, triton.Options{Address: fake.Address()})
			eventually(t, "it is ready", func() bool { return s.isReady(t) })
		})
	}
}

// The embedder has the name and the fingerprint that the catalogue was made with.
func TestAnEmbedderThatMakesOtherVectorsIsNotServed(t *testing.T) {
	path := filled(t, 12, 400, nil)
	negative := func(r *inference.ModelInferResponse) {
		for i := 3; i < len(r.RawOutputContents[0]); i += 4 {
			r.RawOutputContents[0][i] ^= 0x80
		}
	}
	fake := tritontest.New(t, tritontest.Detector("detector", main), tritontest.Embedder("embedder"))
	fake.SetFault("embedder", tritontest.Fault{Change: negative})
	s := startSearching(t, onlyOneLook(), path, triton.Options{Address: fake.Address()})
	reason := func() string {
		status, _ := s.service.CatalogueStatus()
		return status.Reason
	}
	eventually(t, "the check fails", func() bool { return strings.Contains(reason(), "do not find themselves") })
	for _, want := range []string{"of 8 stored crops", "8 do not", "work w00 with similarity -1.000 instead of 0.99", "index rebuild --force"} {
		if !strings.Contains(reason(), want) {
			t.Errorf("no %q in the reason: %s", want, reason())
		}
	}
	if a := s.admin(t, "/readyz"); a.StatusCode != http.StatusServiceUnavailable || !bytes.Contains(a.body, []byte("do not find themselves")) {
		t.Errorf("/readyz: status %d: %s", a.StatusCode, a.body)
	}
	// Neither a wrong answer nor a wrong vector.
	wantProblem(t, s.post(t, "/v1/search", "", photo(t, 64, 64)), http.StatusServiceUnavailable, service.CodeCatalogueGone)
	wantProblem(t, s.send(t, http.MethodPut, "/v1/works/new/photos/p", "", photo(t, 64, 64)), http.StatusServiceUnavailable, service.CodeCatalogueGone)
	// What needs no vectors goes on.
	for _, path := range []string{"/v1/works/w00", "/v1/models"} {
		if a := s.get(t, path); a.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", path, a.StatusCode)
		}
	}
	if a := s.post(t, "/v1/crop", "", photo(t, 64, 64)); a.StatusCode != http.StatusOK {
		t.Errorf("/v1/crop: status %d", a.StatusCode)
	}

	fake.SetFault("embedder", tritontest.Fault{})
	eventually(t, "what was put right is ready", func() bool { return s.isReady(t) })
	if a := s.post(t, "/v1/search?crop=false", "", colourful(t, 3, 400, 400)); a.StatusCode != http.StatusOK || !bytes.Contains(a.body, []byte(`"w02"`)) {
		t.Errorf("/v1/search: status %d: %s", a.StatusCode, a.body)
	}
}

// An embedder that does not answer says nothing about the catalogue: it is waited for.
func TestTheCheckWaitsForTheEmbedder(t *testing.T) {
	path := filled(t, 3, 400, nil)
	for _, fault := range []tritontest.Fault{{Err: tritontest.ErrQueueFull}, {Err: tritontest.ErrModel}, {Disconnect: true}, {Change: tritontest.ShortBytes}} {
		fake := tritontest.New(t, tritontest.Detector("detector"), tritontest.Embedder("embedder"))
		begin := make(chan struct{})
		s := startTestServer(t, onlyOneLook(), withStore(onlyOneLook(), path, begin), triton.Options{Address: fake.Address()})
		fake.SetFault("embedder", fault)
		close(begin)
		eventually(t, "the check is pending", func() bool {
			status, _ := s.service.CatalogueStatus()
			return status.Opening && strings.Contains(status.Reason, "could not be checked")
		})
		if s.isReady(t) {
			t.Errorf("%+v: it is ready", fault)
		}
		fake.SetFault("embedder", tritontest.Fault{})
		eventually(t, "it is ready", func() bool { return s.isReady(t) })
		s.service.Close()
	}
}

// The vector that a catalogue holds is that of the crop that it keeps, to the last digit.
func TestACropThatIsKeptGivesItsVectorAgain(t *testing.T) {
	s, _ := searchOnFake(t, onlyOneLook(), main)
	for i, test := range []struct {
		picture []byte
		query   string
	}{
		{colourful(t, 1, 1500, 900), ""},
		{colourful(t, 2, 900, 1500), "?crop=true"},
		{colourful(t, 3, 447, 449), ""},
		{colourful(t, 4, 30, 20), ""},
		{colourful(t, 5, 2000, 3), ""},
	} {
		path := fmt.Sprintf("/v1/works/w%d/photos/p", i)
		s.put(t, path+test.query, "", test.picture)
		kept := decode[api.Photo](t, s.get(t, path), http.StatusOK)
		again := decode[api.EmbedResult](t, s.post(t, "/v1/embed?crop=false", "", s.get(t, path+"/crop").body), http.StatusOK)
		if !slices.Equal(kept.Vector, again.Vector) {
			t.Errorf("picture %d: the vector of its crop is %v, kept is %v", i, again.Vector, kept.Vector)
		}
	}
}
