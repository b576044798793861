package rest

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

const (
	ndjson = "application/x-ndjson"
	csv    = "text/csv; charset=utf-8"
)

func (s *testServer) importing(t *testing.T, contentType string, body []byte) api.ImportResult {
	t.Helper()
	return decode[api.ImportResult](t, s.post(t, "/v1/import", contentType, body), http.StatusOK)
}

func TestAnExportComesBackAsItWas(t *testing.T) {
	s, _ := searchOnFake(t, config.Default(), main)
	threeWorks(t, s)
	s.put(t, "/v1/works/a%2Fb", "application/json", []byte(`{"title":"<b>&\u2028\"é\"","artist":"x\ny","year":-5,"link":"l","metadata":{"z":[1.50,{"k":null}],"a":"b"}}`))
	s.put(t, "/v1/works/empty", "application/json", []byte(`{}`))
	exported := s.get(t, "/v1/export")
	if exported.StatusCode != http.StatusOK || exported.Header.Get("Content-Type") != ndjson {
		t.Fatalf("status %d, %v", exported.StatusCode, exported.Header)
	}
	if lines := bytes.Count(exported.body, []byte("\n")); lines != 1+5 {
		t.Errorf("%d lines", lines)
	}
	// Into the same, where it changes nothing, and into a new one, twice.
	fresh, _ := searchOnFake(t, config.Default(), main)
	for _, to := range []*testServer{s, fresh, fresh} {
		got := to.importing(t, ndjson, exported.body)
		if d := cmp.Diff(api.ImportResult{Lines: 5, Works: 5, Photos: 4, Errors: []api.LineError{}}, got); d != "" {
			t.Error(d)
		}
		if again := to.get(t, "/v1/export"); !bytes.Equal(again.body, exported.body) {
			t.Errorf("the export is\n%s\nwas\n%s", again.body, exported.body)
		}
	}
	found := decode[api.SearchResult](t, fresh.post(t, "/v1/search?crop=false&limit=1", "", plain(t, 64, 64, green)), http.StatusOK)
	if len(found.Matches) != 1 || found.Matches[0].Work.ID != "green" {
		t.Errorf("what was imported is not found: %+v", found.Matches)
	}
	// The crops came along, unless they are not wanted; so do all works, unless a filter chooses.
	fresh.get(t, "/v1/works/red/photos/front/crop")
	small := s.get(t, "/v1/export?crops=false&filter=id=red")
	if bytes.Contains(small.body, []byte(`"crop"`)) || bytes.Count(small.body, []byte("\n")) != 2 || len(small.body) == 0 {
		t.Errorf("without crops: %s", small.body)
	}
	wantProblem(t, s.get(t, "/v1/export?limit=1"), http.StatusBadRequest, service.CodeInvalid)
	wantProblem(t, s.get(t, "/v1/export?crops=1"), http.StatusBadRequest, service.CodeInvalid)
	wantProblem(t, s.get(t, "/v1/export?filter=x"), http.StatusBadRequest, service.CodeInvalid)
	s.settle(t)
}

func TestAnImportNotesWhatIsWrongAndGoesOn(t *testing.T) {
	cfg := config.Default()
	cfg.Limits.MaxLineBytes = 20_000
	s, _ := searchOnFake(t, cfg, main)
	header := `{"lexicrop_catalogue":1,"space":{"name":"colours","fingerprint":"fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210","dimension":48}}`
	vector := "[" + strings.Repeat("0.5,", 47) + "0.25]"
	picture := base64.StdEncoding.EncodeToString(plain(t, 30, 30, red))
	lines := []string{
		header,
		"",
		`{"id":"good","title":"T","photos":[{"id":"v","vector":` + vector + `},{"id":"p","image":"` + picture + `","source":"p.jpg"}]}`,
		`garbage`,
		`{"id":"colour","colour":"red"}`,
		`{"id":"","title":"none"}`,
		`{"id":"short","photos":[{"id":"v","vector":[1,2]}]}`,
		`{"id":"zeros","photos":[{"id":"v","vector":[` + strings.Repeat("0,", 47) + `0]}]}`,
		`{"id":"both","photos":[{"id":"v","vector":` + vector + `,"image":"` + picture + `"}]}`,
		`{"id":"neither","photos":[{"id":"v"}]}`,
		`{"id":"nopicture","photos":[{"id":"v","image":"aGVsbG8="}]}`,
		`{"id":"long","title":"` + strings.Repeat("x", 20_000) + `"}`,
		`{"id":"good","photos":[{"id":"w","vector":` + vector + `}]}`,
		`{"id":"last","title":"without a line break"}`,
	}
	got := s.importing(t, ndjson, []byte(strings.Join(lines, "\n")))
	type failure struct {
		line int
		work string
		code service.Code
	}
	var failures []failure
	for _, e := range got.Errors {
		failures = append(failures, failure{e.Line, e.Work, service.Code(e.Code)})
		if e.Detail == "" || strings.Contains(e.Detail, "Go ") {
			t.Errorf("line %d: the detail is %q", e.Line, e.Detail)
		}
	}
	want := []failure{
		{4, "", service.CodeInvalid}, {5, "", service.CodeInvalid}, {6, "", service.CodeInvalid}, {7, "short", service.CodeInvalid},
		{8, "zeros", service.CodeInvalid}, {9, "both", service.CodeInvalid}, {10, "neither", service.CodeInvalid},
		{11, "nopicture", service.CodeNotAnImage}, {12, "", service.CodeInvalid},
	}
	if d := cmp.Diff(want, failures, cmp.AllowUnexported(failure{})); d != "" {
		t.Error(d)
	}
	if got.Lines != 12 || got.Failed != 9 || got.Works != 3 || got.Photos != 3 {
		t.Errorf("%+v", got)
	}
	good := decode[api.WorkEntry](t, s.get(t, "/v1/works/good"), http.StatusOK)
	if good.Title != "T" || len(good.Photos) != 3 {
		t.Errorf("a line without a word of the work changed it: %+v", good)
	}
	decode[api.WorkEntry](t, s.get(t, "/v1/works/last"), http.StatusOK)
	s.settle(t)
}

func TestAnImportThatCannotBeginGetsItsProblem(t *testing.T) {
	s, _ := searchOnFake(t, config.Default(), main)
	line := `{"id":"a","title":"x"}`
	for _, test := range []struct {
		name, contentType, body string
		status                  int
		code                    service.Code
	}{
		{"no type", "", line, http.StatusBadRequest, service.CodeInvalid},
		{"what curl says", "application/x-www-form-urlencoded", line, http.StatusBadRequest, service.CodeInvalid},
		{"another space", ndjson, `{"lexicrop_catalogue":1,"space":{"name":"other","fingerprint":"x","dimension":48}}` + "\n" + line, http.StatusConflict, service.CodeOtherSpace},
		{"another dimension", ndjson, `{"lexicrop_catalogue":1,"space":{"name":"colours","fingerprint":"fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210","dimension":4}}`, http.StatusConflict, service.CodeOtherSpace},
		{"a newer form", ndjson, `{"lexicrop_catalogue":2,"space":{"name":"colours","fingerprint":"x","dimension":48}}`, http.StatusBadRequest, service.CodeInvalid},
		{"a header with more", ndjson, `{"lexicrop_catalogue":1,"colour":"red"}`, http.StatusBadRequest, service.CodeInvalid},
		{"a table without id", csv, "title,year\nx,1\n", http.StatusBadRequest, service.CodeInvalid},
		{"a table with a column twice", csv, "id,Title,title\nx,1,2\n", http.StatusBadRequest, service.CodeInvalid},
		{"a table of files", csv, "id,file\nx,a.jpg\n", http.StatusBadRequest, service.CodeInvalid},
		{"a table with a column that has no name", csv, "id,,title\nx,1,2\n", http.StatusBadRequest, service.CodeInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			wantProblem(t, s.post(t, "/v1/import", test.contentType, []byte(test.body)), test.status, test.code)
		})
	}
	if page := decode[api.WorkPage](t, s.get(t, "/v1/works"), http.StatusOK); len(page.Works) != 0 {
		t.Errorf("%d works came in", len(page.Works))
	}
	for _, body := range []string{"", "\n\n", "id\n"} {
		for _, contentType := range []string{ndjson, csv} {
			if contentType == ndjson && body == "id\n" {
				continue
			}
			if got := s.importing(t, contentType, []byte(body)); got.Lines != 0 || got.Works != 0 {
				t.Errorf("of nothing came %+v", got)
			}
		}
	}
}

func TestImportOfATable(t *testing.T) {
	s, _ := searchOnFake(t, config.Default(), main)
	for _, separator := range []string{",", ";", "\t"} {
		table := "\ufeffID|Title|artist|year|museum|metadata.room\n" +
			"a|\"Of \"\"two\"\" | things\nand lines\"|X|1900|Louvre|\n" +
			"b|y|||||extra\n" +
			"c|y||soon||\n" +
			"\n" +
			"|no id||||\n" +
			"d\n" +
			"e|a \"bare quote|||\n" +
			"f|F|||M|7\n"
		got := s.importing(t, csv, []byte(strings.ReplaceAll(table, "|", separator)))
		var lines []int
		for _, e := range got.Errors {
			lines = append(lines, e.Line)
		}
		if !cmp.Equal(lines, []int{4, 5, 7, 9}) || got.Works != 3 || got.Lines != 7 || got.Failed != 4 {
			t.Errorf("%q: %+v", separator, got)
		}
		a := decode[api.WorkEntry](t, s.get(t, "/v1/works/a"), http.StatusOK)
		want := api.WorkEntry{ID: "a", Title: "Of \"two\" " + separator + " things\nand lines", Artist: "X", Year: 1900, Metadata: []byte(`{"museum":"Louvre"}`), Photos: []api.PhotoSummary{}}
		if d := cmp.Diff(want, a); d != "" {
			t.Errorf("%q: %s", separator, d)
		}
		f := decode[api.WorkEntry](t, s.get(t, "/v1/works/f"), http.StatusOK)
		if string(f.Metadata) != `{"museum":"M","room":"7"}` {
			t.Errorf("the metadata is %s", f.Metadata)
		}
	}
	open := s.importing(t, csv, []byte("id,title\na,x\nb,\"never closed"))
	if open.Works != 1 || open.Failed != 1 {
		t.Errorf("a quote that is never closed: %+v", open)
	}
}

// A quote that is never closed swallows no more memory than a line may.
func TestAnOpenQuoteIsBounded(t *testing.T) {
	cfg := config.Default()
	cfg.Limits.MaxLineBytes = 10_000
	s, _ := searchOnFake(t, cfg, main)
	endless := &patternReader{start: []byte("id,title\na,x\nb,\"")}
	endless.left.Store(1 << 30)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/v1/import", endless)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", csv)
	response, err := s.Client().Do(request)
	if err == nil {
		_ = response.Body.Close()
		if response.StatusCode != http.StatusBadRequest {
			t.Errorf("status %d", response.StatusCode)
		}
	}
	if read := 1<<30 - endless.left.Load(); read > 64<<20 {
		t.Errorf("%d bytes were read", read)
	}
	s.settle(t)
}

type patternReader struct {
	start []byte
	left  atomic.Int64 // the client may read on when it has its answer
}

func (r *patternReader) Read(p []byte) (int, error) {
	if len(r.start) > 0 {
		n := copy(p, r.start)
		r.start = r.start[n:]
		return n, nil
	}
	n := int(min(int64(len(p)), r.left.Load()))
	if n == 0 {
		return 0, io.EOF
	}
	for i := range p[:n] {
		p[i] = 'x'
	}
	r.left.Add(-int64(n))
	return n, nil
}

// An import and an export take as long as they need, the pauses between their pieces do not.
func TestLongImportsAndExportsOutliveTheTimeouts(t *testing.T) {
	cfg := config.Default()
	cfg.Server.ReadHeaderTimeout, cfg.Server.ReadTimeout, cfg.Server.RequestTimeout, cfg.Server.WriteTimeout = time.Second, time.Second, time.Second, 2*time.Second
	s, _ := searchOnFake(t, cfg, main)
	body, w := io.Pipe()
	go func() {
		for i := range 12 { // 3.6 s in all
			_, _ = fmt.Fprintf(w, "{\"id\":\"w%02d\",\"title\":\"x\"}\n", i)
			time.Sleep(300 * time.Millisecond)
		}
		_ = w.Close()
	}()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/v1/import", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", ndjson)
	if got := decode[api.ImportResult](t, s.do(t, request), http.StatusOK); got.Works != 12 {
		t.Errorf("%+v", got)
	}
	s.settle(t)

	// Whoever says nothing any more is sent away.
	silent, w := io.Pipe()
	defer w.Close()
	// net/http's client may wait for the body to end where the answer was lost.
	defer time.AfterFunc(time.Minute, func() { _ = w.CloseWithError(context.DeadlineExceeded) }).Stop()
	go func() { _, _ = io.WriteString(w, "{\"id\":\"a\"}\n") }()
	request, err = http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/v1/import", silent)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", ndjson)
	response, err := s.Client().Do(request)
	if err == nil {
		defer response.Body.Close()
		if response.StatusCode != http.StatusGatewayTimeout {
			t.Errorf("status %d", response.StatusCode)
		}
	}
	s.settle(t)
}

func TestAnImportOfAClientThatGoesAwayEnds(t *testing.T) {
	s, _ := searchOnFake(t, config.Default(), main)
	ctx, cancel := context.WithCancel(t.Context())
	body, w := io.Pipe()
	defer w.Close()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+"/v1/import", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", ndjson)
	done := make(chan struct{})
	go func() {
		defer close(done)
		response, err := s.Client().Do(request)
		if err == nil {
			_ = response.Body.Close()
		}
	}()
	if _, err := io.WriteString(w, "{\"id\":\"a\",\"title\":\"x\"}\n"); err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = w.CloseWithError(context.Canceled) // net/http's client may wait for the body to end
	<-done
	s.settle(t)
}

// Both embedders being lost in the midst of an import is of the lines that needed them.
func TestAnImportOfPicturesWhileTritonIsGone(t *testing.T) {
	fake := tritontest.New(t, tritontest.Detector("detector", main), tritontest.Embedder("embedder"))
	s := startSearching(t, config.Default(), filepath.Join(t.TempDir(), "c.db"), triton.Options{Address: fake.Address()})
	if _, err := s.service.WaitCatalogue(t.Context()); err != nil {
		t.Fatal(err)
	}
	fake.Stop()
	picture := base64.StdEncoding.EncodeToString(plain(t, 30, 30, red))
	got := s.importing(t, ndjson, []byte(`{"id":"a","title":"x"}`+"\n"+`{"id":"b","photos":[{"id":"p","image":"`+picture+`"}]}`+"\n"))
	if got.Works != 1 || got.Failed != 1 || got.Errors[0].Code != string(service.CodeBackendGone) || got.Errors[0].Work != "b" {
		t.Errorf("%+v", got)
	}
}
