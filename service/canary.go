package service

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"sync/atomic"
)

// canaryKey is under what a context says who asks.
type canaryKey struct{}

// WithCanaryKey says who asks in a request. The same key is always answered by the same model, the
// canary or the primary, as long as the canary's share does not change; and who is answered by the
// canary stays so when its share grows. Without a key every request is decided by itself.
func WithCanaryKey(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, canaryKey{}, key)
}

// split decides which requests a canary answers.
type split struct{ rule atomic.Pointer[splitRule] }

type splitRule struct {
	canary  string
	percent float64
}

func (s *split) set(canary string, percent float64) {
	s.rule.Store(&splitRule{canary, percent})
}

func (s *split) percent() float64 {
	if r := s.rule.Load(); r != nil {
		return r.percent
	}
	return 0
}

// takes says whether the request of ctx is one of the canary's.
func (s *split) takes(ctx context.Context) bool {
	r := s.rule.Load()
	if r == nil || r.percent <= 0 {
		return false
	}
	return r.place(ctx) < r.percent
}

// place is where in 0 to 100 a request lies. The canary's name goes into it, so that not always the
// same people try what is new.
func (r *splitRule) place(ctx context.Context) float64 {
	key, ok := ctx.Value(canaryKey{}).(string)
	if !ok || key == "" {
		return 100 * rand.Float64()
	}
	h := fnv.New64a()
	h.Write([]byte(r.canary))
	h.Write([]byte{0})
	h.Write([]byte(key))
	// FNV's high bits hardly depend on the last bytes: the finaliser of splitmix64 spreads them.
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	return 100 * float64(x>>11) / (1 << 53)
}
