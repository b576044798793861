package exact

// A row of codes is padded with zeros to a multiple of this, so that a kernel
// needs no tail.
const align = 32

// dotRowsGo is what every kernel computes: dst[r] is the dot product of query
// and of the r-th row of codes, each row len(query) codes long.
func dotRowsGo(dst []int32, codes []int8, query []int16) {
	for r := range dst {
		row := codes[r*len(query):][:len(query)]
		var s0, s1, s2, s3 int32
		for i := 0; i+4 <= len(row) && i+4 <= len(query); i += 4 {
			c, q := row[i:i+4:i+4], query[i:i+4:i+4]
			s0 += int32(c[0]) * int32(q[0])
			s1 += int32(c[1]) * int32(q[1])
			s2 += int32(c[2]) * int32(q[2])
			s3 += int32(c[3]) * int32(q[3])
		}
		dst[r] = s0 + s1 + s2 + s3
	}
}
