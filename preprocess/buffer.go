package preprocess

import (
	"math/bits"
	"sync"
)

// buffers pools pixel memory by size class: class k holds slices of capacity
// 1<<k. Pictures come in few sizes, so nearly all of them are served from here.
var buffers [bits.UintSize]sync.Pool

// getBuffer gives n bytes of any content.
func getBuffer(n int) *[]byte {
	class := bits.Len(uint(max(n, 1) - 1))
	if b, ok := buffers[class].Get().(*[]byte); ok {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n, 1<<class)
	return &b
}

func putBuffer(b *[]byte) {
	class := bits.Len(uint(cap(*b) - 1))
	buffers[class].Put(b)
}
