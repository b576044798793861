package rest

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/service"
)

func (s *Server) models(c echo.Context) error {
	statuses := s.service.Models()
	answer := api.Models{Models: make([]api.ModelStatus, len(statuses))}
	for i, m := range statuses {
		answer.Models[i] = modelStatus(m)
	}
	answer.Catalogue = s.catalogueStatus()
	return c.JSON(http.StatusOK, answer)
}

func modelStatus(m service.ModelStatus) api.ModelStatus {
	status := api.ModelStatus{
		Task: m.Task, Role: api.ModelStatusRole(m.Role), Name: m.Name,
		State: api.ModelStatusState(m.State), Since: m.Since, Ready: m.Ready,
	}
	if m.Role == service.RoleCanary {
		status.Percent = &m.Percent
	}
	if m.Reason != "" {
		status.Reason = &m.Reason
	}
	if m.Version != "" {
		status.Version = &m.Version
	}
	if m.Contract != nil {
		if len(m.Contract.Labels) > 0 {
			status.Labels = &m.Contract.Labels
		}
		status.Input = &struct {
			Height int `json:"height"`
			Width  int `json:"width"`
		}{m.Contract.Input.Height, m.Contract.Input.Width}
		if m.Contract.Fingerprint != "" {
			status.Fingerprint = &m.Contract.Fingerprint
		}
	}
	return status
}

// catalogueStatus is nil where there is none.
func (s *Server) catalogueStatus() *api.CatalogueStatus {
	status, ok := s.service.CatalogueStatus()
	if !ok {
		return nil
	}
	answer := &api.CatalogueStatus{Ready: status.Ready}
	if status.Reason != "" {
		answer.Reason = &status.Reason
	}
	if status.Space != (service.Space{}) {
		space := spaceAnswer(status.Space)
		answer.Space = &space
	}
	return answer
}

func (s *Server) limits(c echo.Context) error {
	l := s.config.Limits
	return c.JSON(http.StatusOK, api.Limits{
		Formats: s.service.Formats(), CropFormats: cropFormats,
		MaxBodyBytes: int64(l.MaxBodyBytes), MaxPixels: l.MaxPixels, MaxSide: l.MaxSide, MaxDetections: l.MaxDetections,
		MaxResults: l.MaxResults, MaxLineBytes: int64(l.MaxLineBytes),
		RequestTimeoutSeconds: s.config.Server.RequestTimeout.Seconds(),
	})
}
