package rest

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/image/draw"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/index"
)

// BenchmarkCrop measures POST /v1/crop over HTTP on a real local Triton, as a client sees it: the
// photo that the app sends and an original one, by one client and by several. p50 and p99 are in
// milliseconds; ns/op is the time between two answers.
func BenchmarkCrop(b *testing.B) {
	s := onTriton(b, config.Default())
	benchmarkPhotos(b, s.URL+"/v1/crop", 1, 2, 4, 8)
}

// BenchmarkSearch measures POST /v1/search in the same way: crop, embed, and search in a catalogue of
// 100,000 works.
func BenchmarkSearch(b *testing.B) {
	path := filepath.Join(b.TempDir(), "catalogue.db")
	s := startSearching(b, config.Default(), path, realTriton(b, "detector", "embedder"))
	store, err := s.service.WaitCatalogue(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	fillCatalogue(b, store, 100_000)
	benchmarkPhotos(b, s.URL+"/v1/search", 1, 4)
}

// fillCatalogue adds works whose vectors are random.
func fillCatalogue(b *testing.B, store index.Store, works int) {
	info, err := store.Info(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	batch := make([]index.Entry, 1000)
	for n := 0; n < works; n += len(batch) {
		for i := range batch {
			vector := make([]float32, info.Space.Dimension)
			for k := range vector {
				vector[k] = float32(r.NormFloat64())
			}
			id := fmt.Sprintf("work-%06d", n+i)
			batch[i] = index.Entry{Work: index.Work{ID: id, Title: "Title of " + id}, Photos: []index.Photo{{ID: "1", Vector: vector}}}
		}
		if err := store.Upsert(b.Context(), info.Space, batch...); err != nil {
			b.Fatal(err)
		}
	}
}

func benchmarkPhotos(b *testing.B, url string, clients ...int) {
	for _, photo := range []struct {
		name          string
		width, height int
	}{{"320x480", 320, 480}, {"12MP", 3024, 4032}} {
		data := scenePhoto(b, photo.width, photo.height)
		for _, n := range clients {
			b.Run(fmt.Sprintf("%s-%dkB/clients=%d", photo.name, len(data)/1000, n), func(b *testing.B) {
				benchmarkPosts(b, url, data, n)
			})
		}
	}
}

func benchmarkPosts(b *testing.B, url string, data []byte, clients int) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	latencies := make([]time.Duration, b.N)
	jobs := make(chan int)
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			for i := range jobs {
				start := time.Now()
				if err := post(b, client, url, data); err != nil {
					b.Error(err)
				}
				latencies[i] = time.Since(start)
			}
		})
	}
	b.ResetTimer()
	for i := range b.N {
		jobs <- i
	}
	close(jobs)
	running.Wait()
	b.StopTimer()
	slices.Sort(latencies)
	for name, share := range map[string]int{"p50-ms": 50, "p99-ms": 99} {
		b.ReportMetric(float64(latencies[(len(latencies)-1)*share/100])/float64(time.Millisecond), name)
	}
}

func post(b *testing.B, client *http.Client, url string, data []byte) error {
	request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, bytes.NewReader(data))
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	return nil
}

// scenePhoto is the scene of the README, seen from closer by, as a JPEG of w x h pixels.
func scenePhoto(b *testing.B, w, h int) []byte {
	b.Helper()
	scene, err := jpeg.Decode(bytes.NewReader(read(b, "../../docs/images/scene.jpg")))
	if err != nil {
		b.Fatal(err)
	}
	photo := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.CatmullRom.Scale(photo, photo.Bounds(), scene, image.Rect(180, 250, 880, 1183), draw.Src, nil)
	var out bytes.Buffer
	if err := jpeg.Encode(&out, photo, &jpeg.Options{Quality: 92}); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}
