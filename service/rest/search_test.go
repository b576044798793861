package rest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"log/slog"
	"math"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/index/sqlite"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

// searchOnFake serves with a scripted Triton, whose embedder goes by colours, and a catalogue of its own.
func searchOnFake(t *testing.T, cfg *config.Config, candidates ...tritontest.Candidate) (*testServer, *tritontest.Server) {
	t.Helper()
	fake := tritontest.New(t, tritontest.Detector("detector", candidates...), tritontest.Embedder("embedder"))
	s := startSearching(t, cfg, filepath.Join(t.TempDir(), "catalogue.db"), triton.Options{Address: fake.Address()})
	if _, err := s.service.WaitCatalogue(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, fake
}

func startSearching(t testing.TB, cfg *config.Config, path string, o triton.Options) *testServer {
	t.Helper()
	return startTestServer(t, cfg, withStore(cfg, path, nil), o)
}

// withStore are the options of a service with the catalogue at path, which is opened when begin is closed
// or nil.
func withStore(cfg *config.Config, path string, begin <-chan struct{}) service.Options {
	options := ServiceOptions(cfg)
	options.OpenStore = func(ctx context.Context, space service.Space) (index.Store, error) {
		if begin != nil {
			select {
			case <-begin:
			case <-ctx.Done():
			}
		}
		return sqlite.Open(ctx, path, sqlite.Options{Space: space, Log: slog.New(slog.DiscardHandler)})
	}
	return options
}

// put sends a body that is answered with status 200.
func (s *testServer) put(t *testing.T, path, contentType string, body []byte) answer {
	t.Helper()
	a := s.send(t, http.MethodPut, path, contentType, body)
	if a.StatusCode != http.StatusOK {
		t.Fatalf("PUT %s: status %d: %s", path, a.StatusCode, a.body)
	}
	return a
}

func (s *testServer) send(t *testing.T, method, path, contentType string, body []byte, headers ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return s.do(t, request)
}

var (
	red   = color.RGBA{200, 30, 30, 255}
	green = color.RGBA{30, 200, 30, 255}
	blue  = color.RGBA{30, 30, 200, 255}
)

// plain is a JPEG of one colour.
func plain(t testing.TB, w, h int, c color.RGBA) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		m.SetRGBA(i%w, i/w, c)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// threeWorks fills the catalogue with a red, a green and a blue work, the red one with two photos.
func threeWorks(t *testing.T, s *testServer) {
	t.Helper()
	for i, c := range map[string]color.RGBA{"red": red, "green": green, "blue": blue} {
		s.put(t, "/v1/works/"+i, "application/json", fmt.Appendf(nil, `{"title":"In %s","year":%d,"metadata":{"n":12345678901234567890}}`, i, 1800+len(i)))
		s.put(t, "/v1/works/"+i+"/photos/front", "", plain(t, 100, 100, c))
	}
	s.put(t, "/v1/works/red/photos/other?source=b.jpg", "", plain(t, 100, 100, color.RGBA{200, 90, 30, 255}))
}

func ids(matches []api.Match) []string {
	found := make([]string, len(matches))
	for i, m := range matches {
		found[i] = m.Work.ID
	}
	return found
}

// The photo of 640x320 is red where the work is, and blue in its right half.
func TestSearchFindsTheWorkThatThePhotoShows(t *testing.T) {
	s, _ := searchOnFake(t, onlyOneLook(), main)
	threeWorks(t, s)
	a := s.post(t, "/v1/search", "image/jpeg", photo(t, 640, 320))
	got := decode[api.SearchResult](t, a, http.StatusOK)
	if d := cmp.Diff([]string{"red", "blue", "green"}, ids(got.Matches), cmpopts.SortSlices(func(a, b string) bool { return a != "red" && (b == "red" || a < b) })); d != "" {
		t.Errorf("the works: %s", d)
	}
	first := got.Matches[0]
	if first.Work.Title != "In red" || first.Work.Year != 1803 || string(first.Work.Metadata) != `{"n":12345678901234567890}` || first.Similarity < 0.999 || first.Similarity > 1 {
		t.Errorf("the first match is %+v", first)
	}
	if len(first.Photos) != 2 || first.Photos[0].ID != "front" || first.Photos[1].ID != "other" || first.Photos[1].Source != "b.jpg" ||
		first.Photos[0].Similarity != first.Similarity || first.Photos[1].Similarity >= first.Similarity {
		t.Errorf("its photos are %+v", first.Photos)
	}
	want := api.SearchResult{
		Image: &api.Image{Width: 640, Height: 320, Format: "jpeg", Orientation: 1}, Region: &[]int{100, 40, 300, 240},
		Detection: &api.Detection{Label: "painting", Score: 0.95, Salience: 0.9, Box: api.Box{100, 40, 300, 240}, BoxNormalized: api.Box{0.15625, 0.125, 0.46875, 0.75}},
		Model:     &api.Model{Name: "embedder", Version: "1"}, Detector: &api.Model{Name: "detector", Version: "1"}, Warnings: []string{},
	}
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(api.SearchResult{}, "TimingsMs", "Matches"), cmpopts.EquateApprox(0, 1e-6)); d != "" {
		t.Error(d)
	}
	for _, stage := range []string{"read", "queue", "decode", "letterbox", "infer", "embed", "search", "total"} {
		if _, ok := got.TimingsMs[stage]; !ok || !strings.Contains(a.Header.Get("Server-Timing"), stage+";dur=") {
			t.Errorf("no time of the stage %s in %v or %s", stage, got.TimingsMs, a.Header.Get("Server-Timing"))
		}
	}
	if model := a.Header.Get("Lexicrop-Model"); model != "detector/1, embedder/1" {
		t.Errorf("Lexicrop-Model is %q", model)
	}
	s.settle(t)
}

func TestSearchOptions(t *testing.T) {
	s, _ := searchOnFake(t, onlyOneLook(), main)
	threeWorks(t, s)
	tests := []struct {
		query  string
		works  []string // the first of them, or all where some are left out
		photos int      // of the first
		region []int
	}{
		{"limit=1", []string{"red"}, 2, []int{100, 40, 300, 240}},
		{"limit=1&photos=1", []string{"red"}, 1, []int{100, 40, 300, 240}},
		{"threshold=0.9", []string{"red"}, 2, []int{100, 40, 300, 240}},
		{"threshold=0.9999", []string{"red"}, 1, []int{100, 40, 300, 240}},
		{"limit=1&filter=title=In+green", []string{"green"}, 1, []int{100, 40, 300, 240}},
		{"filter=title!=In+red&filter=year>=1805", []string{"green"}, 1, []int{100, 40, 300, 240}},
		{"filter=id=nothing", nil, 0, []int{100, 40, 300, 240}},
		{"limit=1&padding=0.1", []string{"red"}, 2, []int{80, 20, 320, 260}},
		{"limit=1&min_score=0.96", nil, 0, []int{0, 0, 640, 320}}, // nothing is found, all is searched
		{"limit=1&crop=false", nil, 0, []int{0, 0, 640, 320}},
	}
	for _, test := range tests {
		got := decode[api.SearchResult](t, s.post(t, "/v1/search?"+test.query, "", photo(t, 640, 320)), http.StatusOK)
		if whole := test.region[0] == 0; !whole && !slices.Equal(ids(got.Matches), test.works) {
			t.Errorf("%s: %v, want %v", test.query, ids(got.Matches), test.works)
		}
		if test.photos > 0 && len(got.Matches[0].Photos) != test.photos {
			t.Errorf("%s: photos %+v, want %d", test.query, got.Matches[0].Photos, test.photos)
		}
		if !slices.Equal(*got.Region, test.region) {
			t.Errorf("%s: the region is %v, want %v", test.query, *got.Region, test.region)
		}
		if got.Matches == nil {
			t.Errorf("%s: the matches are null", test.query)
		}
	}
	for _, bad := range []string{
		"limit=0", "limit=101", "limit=x", "photos=0", "threshold=1.1", "threshold=NaN", "threshold=", "crop=1", "crop=yes", "filter=", "filter=colour=red",
		"filter=year=soon", "colour=red", "crop=false&min_score=0.5", "crop=false&padding=0.1", "crop=true&crop=true", "detections=2", "cursor=x", "source=x",
	} {
		wantProblem(t, s.post(t, "/v1/search?"+bad, "", photo(t, 640, 320)), http.StatusBadRequest, service.CodeInvalid)
	}
}

func TestTheConfigurationHasTheDefaultsOfASearch(t *testing.T) {
	cfg := onlyOneLook()
	cfg.Search = config.Search{Limit: 2, Threshold: 0.9, Photos: 1, MinArea: 0.08, MaxArea: 0.95}
	s, _ := searchOnFake(t, cfg, main)
	threeWorks(t, s)
	got := decode[api.SearchResult](t, s.post(t, "/v1/search", "", photo(t, 640, 320)), http.StatusOK)
	if !slices.Equal(ids(got.Matches), []string{"red"}) || len(got.Matches[0].Photos) != 1 {
		t.Errorf("with a threshold: %+v", got.Matches)
	}
	got = decode[api.SearchResult](t, s.post(t, "/v1/search?threshold=-1", "", photo(t, 640, 320)), http.StatusOK)
	if len(got.Matches) != 2 {
		t.Errorf("without: %+v", got.Matches)
	}
}

// A box that is too small or too large is not trusted: the photo is searched as a whole.
func TestTheGuardOfTheRegion(t *testing.T) {
	tests := []struct {
		name   string
		box    [4]float32 // of the 320x320 input, in which the photo of 320x320 lies
		region []int
	}{
		{"7.9 % of the photo", [4]float32{0, 0, 90, 90}, []int{0, 0, 320, 320}},
		{"8.2 % of the photo", [4]float32{0, 0, 92, 91}, []int{0, 0, 92, 91}},
		{"94.9 % of the photo", [4]float32{0, 0, 320, 303.7}, []int{0, 0, 320, 304}},
		{"95.3 % of the photo", [4]float32{0, 0, 320, 305}, []int{0, 0, 320, 320}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, _ := searchOnFake(t, onlyOneLook(), tritontest.Candidate{Box: test.box, Probs: []float32{0, 1, 0}, Salience: 1})
			got := decode[api.EmbedResult](t, s.post(t, "/v1/embed", "", plain(t, 320, 320, red)), http.StatusOK)
			if !slices.Equal(got.Region, test.region) {
				t.Errorf("the region is %v, want %v", got.Region, test.region)
			}
			if got.Detection == nil {
				t.Error("what was found is not told")
			}
		})
	}
}

func TestEmbedAnswersWithAVectorThatCanBeSearched(t *testing.T) {
	s, _ := searchOnFake(t, onlyOneLook(), main)
	threeWorks(t, s)
	picture := photo(t, 640, 320)
	embedded := decode[api.EmbedResult](t, s.post(t, "/v1/embed", "", picture), http.StatusOK)
	length := 0.0
	for _, v := range embedded.Vector {
		length += float64(v) * float64(v)
	}
	if len(embedded.Vector) != tritontest.EmbedderDimension || math.Abs(length-1) > 1e-5 {
		t.Errorf("a vector of %d values and the squared length %v", len(embedded.Vector), length)
	}
	if embedded.Space.Name != "colours" || embedded.Space.Dimension != tritontest.EmbedderDimension || len(embedded.Space.Fingerprint) != 64 {
		t.Errorf("the space is %+v", embedded.Space)
	}
	ask := func(space any) answer {
		body, err := json.Marshal(map[string]any{"vector": embedded.Vector, "space": space, "limit": 2, "filter": []string{"year>=1803", "title!=In green"}})
		if err != nil {
			t.Fatal(err)
		}
		return s.post(t, "/v1/search", "application/json", body)
	}
	byVector := decode[api.SearchResult](t, ask(embedded.Space), http.StatusOK)
	byPhoto := decode[api.SearchResult](t, s.post(t, "/v1/search?limit=2&filter=title!=In+green", "", picture), http.StatusOK)
	if d := cmp.Diff(byPhoto.Matches, byVector.Matches); d != "" || len(byVector.Matches) != 2 {
		t.Errorf("the same by photo and by vector: %s", d)
	}
	if byVector.Image != nil || byVector.Region != nil || byVector.Model != nil {
		t.Errorf("a vector has no photo: %+v", byVector)
	}
	other := embedded.Space
	other.Fingerprint = strings.Repeat("0", 64)
	problem := wantProblem(t, ask(other), http.StatusConflict, service.CodeOtherSpace)
	for _, fingerprint := range []string{other.Fingerprint, embedded.Space.Fingerprint} {
		if !strings.Contains(*problem.Detail, fingerprint) {
			t.Errorf("the problem does not name %s: %s", fingerprint, *problem.Detail)
		}
	}
}

func TestSearchTakesPhotosInEveryWay(t *testing.T) {
	s, _ := searchOnFake(t, onlyOneLook(), main)
	threeWorks(t, s)
	picture := photo(t, 640, 320)
	formType, formBody := form(formPart{name: "filter", content: "title!=In red"}, formPart{name: "filter", content: "title!=In blue"}, formPart{name: "image", file: "a.jpg", content: string(picture)})
	encoded := base64.StdEncoding.EncodeToString(picture)
	for name, a := range map[string]answer{
		"form":                     s.post(t, "/v1/search", formType, formBody),
		"JSON with a list":         s.post(t, "/v1/search", "application/json", []byte(`{"image":"`+encoded+`","filter":["title!=In red","title!=In blue"]}`)),
		"JSON with one condition":  s.post(t, "/v1/search", "application/json", []byte(`{"image":"`+encoded+`","filter":"id=green"}`)),
		"JSON with a boolean, too": s.post(t, "/v1/search", "application/json", []byte(`{"image":"`+encoded+`","crop":true,"filter":"id=green"}`)),
	} {
		if got := decode[api.SearchResult](t, a, http.StatusOK); !slices.Equal(ids(got.Matches), []string{"green"}) {
			t.Errorf("%s: %v", name, ids(got.Matches))
		}
	}
	for name, body := range map[string]string{
		"both":                       `{"image":"` + encoded + `","vector":[1]}`,
		"neither":                    `{"limit":1}`,
		"a space alone":              `{"image":"` + encoded + `","space":{"name":"a","fingerprint":"b","dimension":1}}`,
		"a vector of another length": `{"vector":[1,2]}`,
		"an empty vector":            `{"vector":[]}`,
		"a vector of zeros":          `{"vector":[` + strings.Repeat("0,", tritontest.EmbedderDimension-1) + `0]}`,
		"a vector of texts":          `{"vector":["1"]}`,
		"a vector with a null":       `{"vector":[` + strings.Repeat("1,", tritontest.EmbedderDimension-1) + `null]}`,
		"a vector that is too large": `{"vector":[1e39]}`,
		"a vector that is none":      `{"vector":5}`,
		"a null":                     `{"vector":null}`,
		"an unknown field of space":  `{"vector":[1],"space":{"colour":"red"}}`,
		"what a photo has":           `{"vector":[1],"crop":true}`,
		"an object as a condition":   `{"image":"` + encoded + `","filter":[{}]}`,
		"a list as a limit":          `{"image":"` + encoded + `","limit":[1]}`,
	} {
		t.Run(name, func(t *testing.T) {
			wantProblem(t, s.post(t, "/v1/search", "application/json", []byte(body)), http.StatusBadRequest, service.CodeInvalid)
		})
	}
}

// A photo that was reduced for the detector is decoded again where its work would be blurred: the
// vector is that of the same pixels from close by.
func TestASmallWorkInALargePhotoIsEmbeddedInFull(t *testing.T) {
	const w, h = 4000, 2000
	m := image.NewGray(image.Rect(0, 0, w, h))
	for i := range m.Pix {
		// Fields of 2 pixels, which a reduced picture does not have.
		m.Pix[i] = byte(60 + 120*((i%w/2+i/w/2)%2))
	}
	var large bytes.Buffer
	if err := jpeg.Encode(&large, m, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	// 320x320 holds the photo at 320x160 from row 80: a work of 1125x1000 pixels.
	candidate := tritontest.Candidate{Box: [4]float32{100, 100, 190, 180}, Probs: []float32{0, 1, 0}, Salience: 1}
	var mu sync.Mutex
	var seen []byte
	embedder := tritontest.Embedder("embedder")
	embedder.Config.Input[0].Dims = []int64{1000, 1125, 3} // of the size of the work
	embedder.Infer = func(_ context.Context, inputs []triton.Tensor) ([]triton.Tensor, error) {
		mu.Lock()
		defer mu.Unlock()
		seen = slices.Clone(inputs[0].Data)
		return []triton.Tensor{tritontest.Float32s("embedding", append(make([]float32, tritontest.EmbedderDimension-1), 1), 1, tritontest.EmbedderDimension)}, nil
	}
	fake := tritontest.New(t, tritontest.Detector("detector", candidate), embedder)
	s := startSearching(t, onlyOneLook(), filepath.Join(t.TempDir(), "c.db"), triton.Options{Address: fake.Address()})
	contrast := func() int {
		mu.Lock()
		defer mu.Unlock()
		return int(slices.Max(seen)) - int(slices.Min(seen))
	}
	got := decode[api.EmbedResult](t, s.post(t, "/v1/embed", "", large.Bytes()), http.StatusOK)
	if want := []int{1250, 250, 2375, 1250}; !slices.Equal(got.Region, want) {
		t.Fatalf("the region is %v, want %v", got.Region, want)
	}
	if c := contrast(); c < 100 {
		t.Errorf("the network saw a contrast of %d: the fields were lost", c)
	}
}

func TestFaultsOfTheEmbedderGetTheirProblem(t *testing.T) {
	cfg := onlyOneLook()
	cfg.Server.RequestTimeout = 500 * time.Millisecond
	s, fake := searchOnFake(t, cfg, main)
	threeWorks(t, s)
	tests := []struct {
		name   string
		fault  tritontest.Fault
		status int
		code   service.Code
	}{
		{"queue full", tritontest.Fault{Err: tritontest.ErrQueueFull}, http.StatusTooManyRequests, service.CodeBusy},
		{"stopping", tritontest.Fault{Err: tritontest.ErrStopping}, http.StatusServiceUnavailable, service.CodeModelNotReady},
		{"model error", tritontest.Fault{Err: tritontest.ErrModel}, http.StatusBadGateway, service.CodeModelMisbehaves},
		{"disconnect", tritontest.Fault{Disconnect: true}, http.StatusServiceUnavailable, service.CodeBackendGone},
		{"hanging", tritontest.Fault{Hang: true}, http.StatusGatewayTimeout, service.CodeDeadline},
		{"short bytes", tritontest.Fault{Change: tritontest.ShortBytes}, http.StatusBadGateway, service.CodeModelMisbehaves},
		{"missing output", tritontest.Fault{Change: tritontest.MissingOutput}, http.StatusBadGateway, service.CodeModelMisbehaves},
	}
	for _, model := range []string{"detector", "embedder"} {
		for _, test := range tests {
			t.Run(model+" "+test.name, func(t *testing.T) {
				fake.SetFault(model, test.fault)
				defer fake.SetFault(model, tritontest.Fault{})
				wantProblem(t, s.post(t, "/v1/search", "", photo(t, 64, 64)), test.status, test.code)
				wantProblem(t, s.post(t, "/v1/embed", "", photo(t, 64, 64)), test.status, test.code)
				if model == "embedder" {
					wantProblem(t, s.send(t, http.MethodPut, "/v1/works/red/photos/new", "", photo(t, 64, 64)), test.status, test.code)
				}
			})
			s.settle(t)
		}
	}
	if e := decode[api.WorkEntry](t, s.get(t, "/v1/works/red"), http.StatusOK); len(e.Photos) != 2 {
		t.Errorf("a photo that failed is in the catalogue: %+v", e)
	}
	decode[api.SearchResult](t, s.post(t, "/v1/search", "", photo(t, 64, 64)), http.StatusOK)
}

// Whoever holds a slot of inference may wait for a slot of decoding, never the other way round: with one
// of each, many requests of every kind at once are all answered.
func TestManyRequestsOfEveryKindDoNotBlockEachOther(t *testing.T) {
	cfg := onlyOneLook()
	cfg.Admission.DecodeSlots, cfg.Admission.InferSlots = 1, 1
	s, _ := searchOnFake(t, cfg, main)
	threeWorks(t, s)
	small, large := photo(t, 640, 320), photo(t, 4000, 2000)
	var clients sync.WaitGroup
	for i := range 24 {
		clients.Go(func() {
			path, body := []string{"/v1/crop", "/v1/search", "/v1/embed?crop=false", "/v1/embed"}[i%4], small
			if i%3 == 0 {
				body = large
			}
			if a := s.post(t, path, "", body); a.StatusCode != http.StatusOK {
				t.Errorf("%s: status %d: %s", path, a.StatusCode, a.body)
			}
		})
	}
	clients.Wait()
	s.settle(t)
}

func TestWithoutACatalogueOrAnEmbedder(t *testing.T) {
	s, _ := onFake(t, config.Default(), main)
	for _, path := range []string{"/v1/search", "/v1/embed"} {
		wantProblem(t, s.post(t, path, "", photo(t, 64, 64)), http.StatusNotImplemented, service.CodeNotConfigured)
	}
	wantProblem(t, s.get(t, "/v1/works"), http.StatusNotImplemented, service.CodeNotConfigured)
	if got := decode[api.Models](t, s.get(t, "/v1/models"), http.StatusOK); got.Catalogue != nil {
		t.Errorf("there is a catalogue: %+v", got.Catalogue)
	}

	fake := tritontest.New(t, tritontest.Detector("detector", main), tritontest.Embedder("embedder"))
	s = startTestServer(t, config.Default(), ServiceOptions(config.Default()), triton.Options{Address: fake.Address()})
	decode[api.EmbedResult](t, s.post(t, "/v1/embed", "", photo(t, 64, 64)), http.StatusOK)
	wantProblem(t, s.post(t, "/v1/search", "", photo(t, 64, 64)), http.StatusNotImplemented, service.CodeNotConfigured)
}
