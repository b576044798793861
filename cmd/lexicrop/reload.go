package main

import (
	"log/slog"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/service"
)

// reloader applies what has changed in the configuration while the service runs: its models.
type reloader struct {
	running *config.Config
	service *service.Service
	log     *slog.Logger
	reloads *prometheus.CounterVec
}

func newReloader(c *config.Config, svc *service.Service, registry prometheus.Registerer, log *slog.Logger) *reloader {
	r := &reloader{running: c, service: svc, log: log, reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "lexicrop_config_reloads_total", Help: "Changed configurations, by what became of them: applied or refused.",
	}, []string{"outcome"})}
	registry.MustRegister(r.reloads)
	svc.Apply(models(c), false)
	return r
}

func (r *reloader) update(u config.Update) {
	if u.Err != nil {
		r.reloads.WithLabelValues("refused").Inc()
		r.log.Error("the changed configuration is refused, the one before stays in force", "file", r.running.File, "reason", u.Err)
		return
	}
	r.reloads.WithLabelValues("applied").Inc()
	changed := config.Differences(r.running, u.Config)
	restart := slices.DeleteFunc(slices.Clone(changed), r.isLive(u.Config))
	r.log.Info("the configuration is read again", "file", r.running.File, "asked", u.Asked, "changed", changed)
	if len(restart) > 0 {
		r.log.Warn("some changes want a restart", "keys", restart)
	}
	r.service.Apply(models(u.Config), u.Asked)
}

// isLive tells the keys whose change needs no restart. A service that was begun without an embedder
// has no catalogue either.
func (r *reloader) isLive(now *config.Config) func(key string) bool {
	embedderStays := (r.running.Models.Embedder.Name == "") == (now.Models.Embedder.Name == "")
	return func(key string) bool {
		return strings.HasPrefix(key, "models.") && (embedderStays || !strings.HasPrefix(key, "models.embedder."))
	}
}

// models are the models that a configuration names.
func models(c *config.Config) service.Models {
	d, e := c.Models.Detector, c.Models.Embedder
	return service.Models{
		Detector: service.Lineup{
			Primary: service.ModelName{Name: d.Name, Version: d.Version},
			Canary:  service.ModelName{Name: d.Canary.Name, Version: d.Canary.Version},
			Percent: d.Canary.Percent,
			Shadow:  service.ModelName{Name: d.Shadow.Name, Version: d.Shadow.Version},
		},
		Embedder: service.Lineup{
			Primary: service.ModelName{Name: e.Name, Version: e.Version},
			Shadow:  service.ModelName{Name: e.Shadow.Name, Version: e.Shadow.Version},
		},
		UnloadAfter: c.Models.UnloadAfter,
	}
}
