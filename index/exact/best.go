package exact

// best keeps the works with the highest similarities that are sure so far, up
// to a limit, each work once: a binary heap with the lowest of them on top.
type best struct {
	limit   int
	floor   float32
	entries []sure
	places  []int32 // by ordinal of the work: 1 + where it is in entries, or 0
}

// sure is a work with a photo whose similarity is at least this.
type sure struct {
	work  int32
	least float32
}

// reset prepares for so many ordinals. floor is the similarity below which
// nothing is asked for.
func (b *best) reset(works, limit int, floor float32) {
	b.limit, b.floor = limit, floor
	b.places = grow(b.places, works)
}

// clear leaves places as reset needs it: all 0.
func (b *best) clear() {
	for _, e := range b.entries {
		b.places[e.work] = 0
	}
	b.entries = b.entries[:0]
}

// worst is what a work must be able to reach to be among the best: as many
// works as were asked for are sure to have it.
func (b *best) worst() float32 {
	if len(b.entries) < b.limit {
		return b.floor
	}
	return max(b.floor, b.entries[0].least)
}

// offer tells of a photo of work whose similarity is at least this.
func (b *best) offer(work int32, least float32) {
	switch place := b.places[work]; {
	case place != 0:
		if e := &b.entries[place-1]; least > e.least {
			e.least = least
			b.down(int(place - 1))
		}
	case len(b.entries) < b.limit:
		b.entries = append(b.entries, sure{work, least})
		b.places[work] = int32(len(b.entries))
		b.up(len(b.entries) - 1)
	case least > b.entries[0].least:
		b.places[b.entries[0].work] = 0
		b.entries[0] = sure{work, least}
		b.places[work] = 1
		b.down(0)
	}
}

func (b *best) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if b.entries[parent].least <= b.entries[i].least {
			return
		}
		b.swap(i, parent)
		i = parent
	}
}

func (b *best) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(b.entries) {
			return
		}
		if child+1 < len(b.entries) && b.entries[child+1].least < b.entries[child].least {
			child++
		}
		if b.entries[i].least <= b.entries[child].least {
			return
		}
		b.swap(i, child)
		i = child
	}
}

func (b *best) swap(i, j int) {
	e := b.entries
	e[i], e[j] = e[j], e[i]
	b.places[e[i].work], b.places[e[j].work] = int32(i+1), int32(j+1)
}

// grow returns s with length n, its elements kept and the new ones zero.
func grow[E any](s []E, n int) []E {
	if n > len(s) {
		s = append(s, make([]E, n-len(s))...)
	}
	return s[:n]
}
