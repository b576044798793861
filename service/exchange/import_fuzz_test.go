package exchange

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/index/sqlite"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

// onFake is a service with an empty catalogue.
func onFake(t testing.TB) (*service.Service, index.Store) {
	t.Helper()
	fake := tritontest.New(t, tritontest.Detector("detector"), tritontest.Embedder("embedder"))
	client, err := triton.Dial(triton.Options{Address: fake.Address()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	path := filepath.Join(t.TempDir(), "catalogue.db")
	log := slog.New(slog.DiscardHandler)
	svc := service.New(service.Options{
		Detector: service.ModelName{Name: "detector"}, Embedder: service.ModelName{Name: "embedder"},
		DecodeQueue: 100, InferQueue: 100, LoadTimeout: time.Minute,
		OpenStore: func(ctx context.Context, space service.Space) (index.Store, error) {
			return sqlite.Open(ctx, path, sqlite.Options{Space: space, Log: log})
		},
	}, client, prometheus.NewRegistry(), log)
	t.Cleanup(svc.Close)
	store, err := svc.WaitCatalogue(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return svc, store
}

// FuzzImport looks for bodies that crash, that are counted wrongly, or whose export does not come back.
func FuzzImport(f *testing.F) {
	f.Add(true, `{"lexicrop_catalogue":1,"space":{"name":"colours","fingerprint":"`+strings.Repeat("fedcba9876543210", 4)+`","dimension":48}}`+"\n"+
		`{"id":"a","title":"x","photos":[{"id":"p","vector":[`+strings.Repeat("1,", 47)+`-0.5]}]}`+"\n")
	f.Add(true, "{\"id\":\"a\",\"metadata\":{\"x\":[1.50,null]}}\n\nnone\n{\"id\":\"\"}")
	f.Add(false, "id;title;x\na;\"b\";c\n;d\ne;f;g;h\n\"")
	svc, store := onFake(f)
	f.Fuzz(func(t *testing.T, lines bool, body string) {
		format := CSV
		if lines {
			format = NDJSON
		}
		report, err := Import(t.Context(), svc, strings.NewReader(body), ImportOptions{Format: format, MaxLineBytes: 4096})
		if err != nil && service.AsError(err).Code == service.CodeInternal {
			t.Fatalf("an error without a code of its own: %v", err)
		}
		if err == nil && report.Works+report.Failed != report.Lines || len(report.Errors) != min(report.Failed, MaxErrors) {
			t.Fatalf("the report does not add up: %+v", report)
		}
		before := export(t, store)
		if _, err := Import(t.Context(), svc, strings.NewReader(before), ImportOptions{Format: NDJSON, MaxLineBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		if after := export(t, store); after != before {
			t.Fatalf("the export is\n%s\nwas\n%s", after, before)
		}
		for e, err := range index.All(t.Context(), store, index.ScanOptions{}) {
			if err == nil {
				err = store.DeleteWork(t.Context(), e.Work.ID)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

func export(t *testing.T, store index.Store) string {
	t.Helper()
	var out strings.Builder
	if _, err := Export(t.Context(), store, &out, ExportOptions{Crops: true}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// What is told of an import that many changes of the catalogue make.
func TestAnImportOfManyBatches(t *testing.T) {
	svc, store := onFake(t)
	var body strings.Builder
	const works = 3*batchEntries + 7
	for i := range works {
		id := strings.Repeat("x", i%200+1)
		if i == batchEntries+5 {
			id = "" // one in a batch, which keeps none of the others out
		}
		body.WriteString(`{"id":"` + id + `","title":"t"}` + "\n")
	}
	var told []int
	report, err := Import(t.Context(), svc, strings.NewReader(body.String()), ImportOptions{
		Format: NDJSON, MaxLineBytes: 4096, Progress: func(r Report) { told = append(told, r.Works) },
	})
	if err != nil || report.Works != works-1 || report.Failed != 1 || report.Errors[0].Line != batchEntries+6 {
		t.Errorf("%+v, %v", report, err)
	}
	if len(told) != 4 || told[3] != works-1 {
		t.Errorf("the progress is %v", told)
	}
	if n, err := store.Count(t.Context(), nil); err != nil || n.Works != 200 {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestAnImportOfManyFailuresListsTheFirst(t *testing.T) {
	svc, _ := onFake(t)
	report, err := Import(t.Context(), svc, strings.NewReader(strings.Repeat("x\n", MaxErrors+500)), ImportOptions{Format: NDJSON, MaxLineBytes: 10})
	if err != nil || report.Failed != MaxErrors+500 || len(report.Errors) != MaxErrors || report.Errors[MaxErrors-1].Line != MaxErrors {
		t.Errorf("%d failures, %d errors, %v", report.Failed, len(report.Errors), err)
	}
}

func TestAnImportEndsWithItsContext(t *testing.T) {
	svc, _ := onFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Import(ctx, svc, strings.NewReader("{\"id\":\"a\",\"title\":\"x\"}\n"), ImportOptions{Format: NDJSON, MaxLineBytes: 100})
	if service.AsError(err).Code != service.CodeCanceled {
		t.Errorf("it ended with %v", err)
	}
}
