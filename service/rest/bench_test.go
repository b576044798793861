package rest

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/image/draw"

	"github.com/lexicam/lexicrop/config"
)

// BenchmarkCrop measures POST /v1/crop over HTTP on a real local Triton, as a client sees it: the
// photo that the app sends and an original one, by one client and by several. p50 and p99 are in
// milliseconds; ns/op is the time between two answers.
func BenchmarkCrop(b *testing.B) {
	s := onTriton(b, config.Default())
	for _, photo := range []struct {
		name          string
		width, height int
	}{{"320x480", 320, 480}, {"12MP", 3024, 4032}} {
		data := scenePhoto(b, photo.width, photo.height)
		for _, clients := range []int{1, 2, 4, 8} {
			b.Run(fmt.Sprintf("%s-%dkB/clients=%d", photo.name, len(data)/1000, clients), func(b *testing.B) {
				benchmarkCrop(b, s.URL+"/v1/crop", data, clients)
			})
		}
	}
}

func benchmarkCrop(b *testing.B, url string, data []byte, clients int) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}}
	defer client.CloseIdleConnections()
	latencies := make([]time.Duration, b.N)
	jobs := make(chan int)
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			for i := range jobs {
				start := time.Now()
				if err := crop(b, client, url, data); err != nil {
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

func crop(b *testing.B, client *http.Client, url string, data []byte) error {
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
