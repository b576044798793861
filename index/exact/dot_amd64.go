package exact

import "golang.org/x/sys/cpu"

var hasAVX2 = cpu.X86.HasAVX2

func dotRows(dst []int32, codes []int8, query []int16) {
	if !hasAVX2 || len(dst) == 0 {
		dotRowsGo(dst, codes, query)
		return
	}
	_ = codes[len(dst)*len(query)-1] // the kernel checks no bounds
	dotRowsAVX2(&dst[0], len(dst), &codes[0], &query[0], len(query))
}

// dotRowsAVX2 computes rows dot products; dim is a multiple of align above 0.
//
//go:noescape
func dotRowsAVX2(dst *int32, rows int, codes *int8, query *int16, dim int)
