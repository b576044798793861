package rest

import (
	"encoding/json"
	"net/http"
	"net/http/pprof"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/lexicam/lexicrop/api"
)

// adminRoutes are for the operator and the cluster, on a listener of their own that the world does
// not see: /livez says that the process runs, and nothing of Triton (a restart would not mend that);
// /readyz says whether requests would be answered, model by model.
func (s *Server) adminRoutes(registry *prometheus.Registry) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
	})
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry}))
	if s.config.Admin.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return mux
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	answer := struct {
		Ready    bool              `json:"ready"`
		Stopping bool              `json:"stopping,omitempty"`
		Models   []api.ModelStatus `json:"models"`
		// A catalogue that cannot be used keeps nobody from cropping: its opening is waited for, and only one
		// whose embedder gives wrong answers, and would keep wrong vectors, is not served at all.
		Catalogue *api.CatalogueStatus `json:"catalogue,omitempty"`
	}{Stopping: s.stopping.Load()}
	for _, m := range s.service.Models() {
		answer.Models = append(answer.Models, modelStatus(m))
	}
	answer.Catalogue = s.catalogueStatus()
	catalogue, _ := s.service.CatalogueStatus()
	answer.Ready = s.service.Ready() == nil && !answer.Stopping && !catalogue.Opening && !catalogue.Unsound
	w.Header().Set("Content-Type", "application/json")
	if !answer.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	// A probe that went away does not matter.
	_ = json.NewEncoder(w).Encode(answer)
}
