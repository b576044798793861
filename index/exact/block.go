package exact

import "slices"

// blockRows is how many rows a block has: enough to read memory in long runs,
// few enough to copy a block for the change of one row (32 KiB at 512 values).
const blockRows = 64

// block is a run of rows, each the 8-bit form of a photo's vector.
type block struct {
	codes  []int8             // blockRows times stride
	scales [blockRows]float32 // a code times this is a value of the unit vector
	errors [blockRows]float32 // at least the length of what the codes miss
	works  [blockRows]int32   // ordinal of the photo's work
	photos [blockRows]*photo
}

// stride is the number of codes in a row: the dimension, filled up with zeros.
func stride(dimension int) int { return (dimension + align - 1) / align * align }

func newBlock(dimension int) *block {
	return &block{codes: make([]int8, blockRows*stride(dimension))}
}

func (b *block) clone() *block {
	c := *b
	c.codes = slices.Clone(b.codes)
	return &c
}

func (b *block) row(i int) []int8 {
	n := len(b.codes) / blockRows
	return b.codes[i*n:][:n:n]
}

func (b *block) set(i int, work int32, p *photo) {
	b.scales[i], b.errors[i] = quantise(b.row(i), p.vector, p.norm)
	b.works[i], b.photos[i] = work, p
}

func (b *block) copyRow(i int, from *block, j int) {
	copy(b.row(i), from.row(j))
	b.scales[i], b.errors[i] = from.scales[j], from.errors[j]
	b.works[i], b.photos[i] = from.works[j], from.photos[j]
}
