package exact

import (
	"math/rand/v2"
	"testing"
)

func BenchmarkDotRows(b *testing.B) {
	const n, dim, rows = 100_000 / 64 * 64, 512, 64
	r := rand.New(rand.NewPCG(1, 2))
	blocks := make([][]int8, n/rows)
	for i := range blocks {
		blocks[i] = make([]int8, rows*dim)
		for j := range blocks[i] {
			blocks[i][j] = int8(r.IntN(255) - 127)
		}
	}
	query := make([]int16, dim)
	for i := range query {
		query[i] = int16(r.IntN(8191) - 4095)
	}
	dst := make([]int32, rows)
	for name, f := range map[string]func([]int32, []int8, []int16){"go": dotRowsGo, "best": dotRows} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(n * dim)
			for b.Loop() {
				for _, codes := range blocks {
					f(dst, codes, query)
				}
			}
		})
	}
}
