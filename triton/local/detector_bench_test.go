package local_test

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/local"
)

// BenchmarkDetector asks the repository's detector through gRPC, from one and
// from several callers at once; p50 and p99 are of single calls.
func BenchmarkDetector(b *testing.B) {
	repository := "../../modelrepo/models"
	if other := os.Getenv("LEXICROP_BENCH_REPOSITORY"); other != "" {
		repository = other
	}
	server, err := local.Start(b.Context(), local.Options{
		Install: "../../build/triton", Repository: repository, Models: []string{"detector"},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer stop(server)
	client, err := triton.Dial(triton.Options{Address: server.Address()})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	for _, callers := range []int{1, 4, 8} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) { benchmarkCallers(b, client, callers) })
	}
}

func benchmarkCallers(b *testing.B, client *triton.Client, callers int) {
	request := &triton.Request{
		Model:  "detector",
		Inputs: []triton.Tensor{{Name: "image", DType: triton.Uint8, Shape: []int64{1, 320, 320, 3}, Data: make([]byte, 320*320*3)}},
		Outputs: []triton.TensorSpec{
			{Name: "boxes", DType: triton.FP32, Shape: []int64{1, 32, 4}},
			{Name: "probs", DType: triton.FP32, Shape: []int64{1, 32, 3}},
			{Name: "salience", DType: triton.FP32, Shape: []int64{1, 32}},
		},
	}
	times := make(chan time.Duration, b.N)
	work := make(chan struct{}, b.N)
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	b.ReportAllocs()
	b.ResetTimer()
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for range work {
				began := time.Now()
				if _, err := client.Infer(b.Context(), request); err != nil {
					b.Error(err)
					return
				}
				times <- time.Since(began)
			}
		})
	}
	group.Wait()
	b.StopTimer()
	close(times)
	var all []time.Duration
	for t := range times {
		all = append(all, t)
	}
	slices.Sort(all)
	if len(all) > 0 {
		b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
		b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "req/s")
	}
}
