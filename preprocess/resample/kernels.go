package resample

// The loops below do nearly all of the work. They are written out for two to
// four taps because a loop of so few rounds costs more than what it does.

// horizontal computes one row of outputs, bytes in lanes, from a row of inputs
// that begins at column origin.
func horizontal(out, in []uint64, t *taps, origin int) {
	first, weights := t.first[:len(out)], t.weights
	switch n := t.n; n {
	case 2:
		for i := range out {
			at := int(first[i]) - origin
			p, w := in[at:at+2], weights[2*i:2*i+2]
			out[i] = round(halves + p[0]*w[0] + p[1]*w[1])
		}
	case 3:
		for i := range out {
			at := int(first[i]) - origin
			p, w := in[at:at+3], weights[3*i:3*i+3]
			out[i] = round(halves + p[0]*w[0] + p[1]*w[1] + p[2]*w[2])
		}
	case 4:
		for i := range out {
			at := int(first[i]) - origin
			p, w := in[at:at+4], weights[4*i:4*i+4]
			out[i] = round(halves + p[0]*w[0] + p[1]*w[1] + p[2]*w[2] + p[3]*w[3])
		}
	default:
		for i := range out {
			at := int(first[i]) - origin
			p, w := in[at:at+n], weights[n*i:n*i+n]
			p = p[:len(w)]
			sum := uint64(halves)
			k := 0
			for ; k < len(w)-3; k += 4 {
				sum += p[k]*w[k] + p[k+1]*w[k+1] + p[k+2]*w[k+2] + p[k+3]*w[k+3]
			}
			for ; k < len(w); k++ {
				sum += p[k] * w[k]
			}
			out[i] = round(sum)
		}
	}
}

// vertical computes output row y into line, each lane still to be shifted down
// by weightBits. Input row r is in window at slot r modulo the number of taps.
func vertical(line, window []uint64, t *taps, y int) {
	n, width := t.n, len(line)
	weights := t.weights[y*n : y*n+n]
	slot := int(t.first[y]) % n
	next := func() []uint64 {
		row := window[slot*width : slot*width+width]
		if slot++; slot == n {
			slot = 0
		}
		return row
	}
	switch len(weights) {
	case 1:
		row := next()
		set2(line, row, row, weights[0], 0)
		return
	case 2:
		set2(line, next(), next(), weights[0], weights[1])
		return
	case 3:
		set3(line, next(), next(), next(), weights[0], weights[1], weights[2])
		return
	}
	set4(line, next(), next(), next(), next(), weights[0], weights[1], weights[2], weights[3])
	for weights = weights[4:]; len(weights) >= 4; weights = weights[4:] {
		add4(line, next(), next(), next(), next(), weights[0], weights[1], weights[2], weights[3])
	}
	for _, w := range weights {
		add1(line, next(), w)
	}
}

func set2(line, a, b []uint64, wa, wb uint64) {
	a, b = a[:len(line)], b[:len(line)]
	for i := range line {
		line[i] = halves + a[i]*wa + b[i]*wb
	}
}

func set3(line, a, b, c []uint64, wa, wb, wc uint64) {
	a, b, c = a[:len(line)], b[:len(line)], c[:len(line)]
	for i := range line {
		line[i] = halves + a[i]*wa + b[i]*wb + c[i]*wc
	}
}

func set4(line, a, b, c, d []uint64, wa, wb, wc, wd uint64) {
	a, b, c, d = a[:len(line)], b[:len(line)], c[:len(line)], d[:len(line)]
	for i := range line {
		line[i] = halves + a[i]*wa + b[i]*wb + c[i]*wc + d[i]*wd
	}
}

func add4(line, a, b, c, d []uint64, wa, wb, wc, wd uint64) {
	a, b, c, d = a[:len(line)], b[:len(line)], c[:len(line)], d[:len(line)]
	for i := range line {
		line[i] += a[i]*wa + b[i]*wb + c[i]*wc + d[i]*wd
	}
}

func add1(line, a []uint64, w uint64) {
	a = a[:len(line)]
	for i := range line {
		line[i] += a[i] * w
	}
}

// round shifts sums down to bytes in lanes.
func round(sums uint64) uint64 { return sums >> weightBits & bytesMask }
