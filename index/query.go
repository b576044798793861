package index

// Query is what Search looks for.
type Query struct {
	Space  Space     // that Vector comes from
	Vector []float32 // of any length but zero
	Limit  int       // the most works to find: 10 if 0, up to MaxLimit
	// Photos is how many photos come with each work, its best ones: 1 if 0, up
	// to MaxLimit.
	Photos int
	// MinSimilarity leaves out works and photos below it; nil leaves out none.
	MinSimilarity *float32
	Filter        Filter // the works to search; all without conditions
}

// MaxLimit is the most works that Search finds.
const MaxLimit = 1000

// Match is a work that Search found.
type Match struct {
	Work Work
	// Similarity is that of the best photo.
	Similarity float32
	Photos     []PhotoMatch // best first, those of equal similarity by id
}

// PhotoMatch is a photo of a work that Search found.
type PhotoMatch struct {
	ID     string
	Hash   string
	Source string
	// Similarity is the cosine of the angle between the query and the photo's
	// vector: 1 in the same direction, 0 at right angles, -1 opposite.
	Similarity float32
}

// Prepare checks a query for a store of space own and fills in what it leaves
// to the defaults. Stores call it.
func (q Query) Prepare(own Space) (Query, error) {
	if err := own.Check(q.Space); err != nil {
		return Query{}, err
	}
	if err := CheckVector(q.Vector, own.Dimension); err != nil {
		return Query{}, err
	}
	if err := q.Filter.Check(); err != nil {
		return Query{}, err
	}
	if q.Limit == 0 {
		q.Limit = 10
	}
	if q.Photos == 0 {
		q.Photos = 1
	}
	if q.Limit < 1 || q.Limit > MaxLimit {
		return Query{}, invalid("limit %d: 1 to %d works can be searched", q.Limit, MaxLimit)
	}
	if q.Photos < 1 || q.Photos > MaxLimit {
		return Query{}, invalid("%d photos a work: 1 to %d can be asked for", q.Photos, MaxLimit)
	}
	if m := q.MinSimilarity; m != nil && !(*m >= -1 && *m <= 1) {
		return Query{}, invalid("similarity of %v: -1 to 1 can be asked for", *m)
	}
	return q, nil
}
