package rest

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"
	"golang.org/x/time/rate"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/service"
)

// guard knows who may ask, and how often.
type guard struct {
	// keys are hashes, so that comparing them tells nothing of where keys differ, or of their lengths.
	keys     []guardedKey
	separate bool // changes of the catalogue need a key that is for them
	limiters *limiters
	// canaryHeader is the header by which a client says who it is to a canary.
	canaryHeader string
}

type guardedKey struct {
	hash   [sha256.Size]byte
	writes bool
}

func newGuard(c config.Auth) *guard {
	g := &guard{separate: len(c.WriteKeys) > 0}
	for _, key := range c.Keys {
		g.keys = append(g.keys, guardedKey{sha256.Sum256([]byte(key)), !g.separate})
	}
	for _, key := range c.WriteKeys {
		g.keys = append(g.keys, guardedKey{sha256.Sum256([]byte(key)), true})
	}
	if c.Rate > 0 {
		g.limiters = newLimiters(rate.Limit(c.Rate), c.Burst)
	}
	return g
}

// reads guards what changes nothing, writes what changes the catalogue.
func (g *guard) reads(next echo.HandlerFunc) echo.HandlerFunc  { return g.admit(next, false) }
func (g *guard) writes(next echo.HandlerFunc) echo.HandlerFunc { return g.admit(next, true) }

func (g *guard) admit(next echo.HandlerFunc, writes bool) echo.HandlerFunc {
	return func(c echo.Context) error {
		who, err := g.identify(c.Request(), writes)
		if err != nil {
			if service.AsError(err).Code == service.CodeUnauthorized {
				c.Response().Header().Set(echo.HeaderWWWAuthenticate, `Bearer realm="lexicrop"`)
			}
			return err
		}
		asking := service.WithCanaryKey(c.Request().Context(), cmp.Or(c.Request().Header.Get(g.canaryHeader), who))
		c.SetRequest(c.Request().WithContext(asking))
		if g.limiters == nil {
			return next(c)
		}
		if wait := g.limiters.wait(who, time.Now()); wait > 0 {
			c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(wait.Seconds()))))
			return &service.Error{Code: service.CodeRateLimited, Detail: "more requests came than are allowed"}
		}
		return next(c)
	}
}

// identify tells clients apart: by their key, or where none is asked for, by their address.
func (g *guard) identify(r *http.Request, writes bool) (string, error) {
	if len(g.keys) == 0 {
		return addressOf(r.RemoteAddr), nil
	}
	shown := r.Header.Get("X-API-Key")
	if scheme, token, ok := strings.Cut(r.Header.Get(echo.HeaderAuthorization), " "); ok && strings.EqualFold(scheme, "Bearer") {
		shown = strings.TrimSpace(token)
	}
	if shown == "" {
		return "", &service.Error{Code: service.CodeUnauthorized, Detail: "a key is needed: Authorization: Bearer KEY, or X-API-Key: KEY"}
	}
	hash := sha256.Sum256([]byte(shown))
	var known *guardedKey
	for i := range g.keys {
		// All are compared, so that the time does not tell which one it was.
		if subtle.ConstantTimeCompare(hash[:], g.keys[i].hash[:]) == 1 {
			known = &g.keys[i]
		}
	}
	switch {
	case known == nil:
		return "", &service.Error{Code: service.CodeUnauthorized, Detail: "the key is not known"}
	case writes && !known.writes:
		return "", &service.Error{Code: service.CodeForbidden, Detail: "the key does not allow to change the catalogue"}
	}
	return hex.EncodeToString(known.hash[:]), nil
}

// addressOf is the address of a client without its port; of IPv6 the part that a subscriber has.
func addressOf(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	address := at.Addr().Unmap().WithZone("")
	if address.Is6() {
		if prefix, err := address.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return address.String()
}

// limiters are one for each client. They are kept in two generations: when the newer one is full, the
// older is forgotten, and with it only clients that have not asked for as long as maxClients others took.
type limiters struct {
	rate  rate.Limit
	burst int

	mu    sync.Mutex
	newer map[string]*rate.Limiter
	older map[string]*rate.Limiter
}

// maxClients bounds a generation.
const maxClients = 10_000

func newLimiters(r rate.Limit, burst int) *limiters {
	return &limiters{rate: r, burst: burst, newer: map[string]*rate.Limiter{}}
}

// wait is how long a client has to wait before it may ask; 0 means that it may now.
func (l *limiters) wait(client string, now time.Time) time.Duration {
	limiter := l.of(client)
	reservation := limiter.ReserveN(now, 1)
	wait := reservation.DelayFrom(now)
	if wait > 0 {
		reservation.CancelAt(now) // who is sent away has not asked
	}
	return wait
}

func (l *limiters) of(client string) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	limiter := l.newer[client]
	if limiter != nil {
		return limiter
	}
	if limiter = l.older[client]; limiter == nil {
		limiter = rate.NewLimiter(l.rate, l.burst)
	}
	if len(l.newer) >= maxClients {
		l.older, l.newer = l.newer, map[string]*rate.Limiter{}
	}
	l.newer[client] = limiter
	return limiter
}
