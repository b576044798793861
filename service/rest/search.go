package rest

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/service/strictjson"
)

func (s *Server) embed(c echo.Context) error {
	start := time.Now()
	upload, err := s.receive(c, uploadFields{photo: photoField})
	defer upload.release()
	if err != nil {
		return err
	}
	options, err := s.embedOptions(upload.options)
	if err != nil {
		return err
	}
	received := time.Since(start)
	e, err := s.service.Embed(c.Request().Context(), upload.photo, options)
	if err != nil {
		return err
	}
	answer := api.EmbedResult{
		Image: imageOf(e.Image), Region: regionOf(e.Region), Detection: workOf(e), Vector: e.Vector, Space: spaceAnswer(e.Space),
		Model: api.Model(e.Model), Detector: modelOf(e.Detector),
		TimingsMs: timingsOf(e.Timings), Warnings: append([]string{}, e.Warnings...),
	}
	writeHeaders(c, e.Timings, start, received, e.Detector, e.Model)
	complete(answer.TimingsMs, start, received)
	return c.JSON(http.StatusOK, answer)
}

// Fields of a JSON object that searches a vector.
const (
	vectorField = "vector"
	spaceField  = "space"
)

func (s *Server) search(c echo.Context) error {
	start := time.Now()
	upload, err := s.receive(c, uploadFields{
		photo: photoField, lists: []string{filterOption}, values: []string{vectorField, spaceField}, instead: []string{vectorField},
	})
	defer upload.release()
	if err != nil {
		return err
	}
	embed, options, err := s.searchOptions(upload.options)
	if err != nil {
		return err
	}
	received := time.Since(start)
	var found *service.Search
	switch {
	case upload.values[vectorField] != nil:
		found, err = s.searchVector(c, upload, options)
	case upload.values[spaceField] != nil:
		err = badRequest("the field %q goes with a %s", spaceField, vectorField)
	default:
		found, err = s.service.Search(c.Request().Context(), upload.photo, embed, options)
	}
	if err != nil {
		return err
	}
	answer := SearchResult(found)
	writeHeaders(c, found.Timings, start, received, found.Detector, found.Model)
	complete(answer.TimingsMs, start, received)
	return c.JSON(http.StatusOK, answer)
}

func (s *Server) searchVector(c echo.Context, u *upload, o service.SearchOptions) (*service.Search, error) {
	if err := refuseWithVector(u.options); err != nil {
		return nil, err
	}
	vector, err := parseVector(u.values[vectorField])
	if err != nil {
		return nil, err
	}
	var space api.Space
	if raw := u.values[spaceField]; raw != nil {
		if err := strictjson.Object(raw, &space); err != nil {
			return nil, badRequest("the field %q: %v", spaceField, err)
		}
	}
	return s.service.SearchVector(c.Request().Context(), vector, service.Space{Name: space.Name, Fingerprint: space.Fingerprint, Dimension: space.Dimension}, o)
}

// refuseWithVector refuses what is about a photo.
func refuseWithVector(values url.Values) error {
	for _, name := range embedOptionNames {
		if values.Has(name) {
			return badRequest("the option %s is about a photo, and there is a %s", name, vectorField)
		}
	}
	return nil
}

func parseVector(raw json.RawMessage) ([]float32, error) {
	var vector []float32
	// Unmarshal would pass over a null without a word.
	if err := json.Unmarshal(raw, &vector); err != nil || bytes.Contains(raw, []byte("null")) {
		return nil, badRequest("the field %q is not a list of numbers", vectorField)
	}
	return vector, nil
}

// SearchResult is found as the API answers it, with the times of its stages.
func SearchResult(found *service.Search) api.SearchResult {
	answer := api.SearchResult{
		Matches: make([]api.Match, len(found.Matches)), Model: modelOf(found.Model), Detector: modelOf(found.Detector),
		TimingsMs: timingsOf(found.Timings), Warnings: append([]string{}, found.Warnings...),
	}
	if !found.Region.Empty() {
		image, region := imageOf(found.Image), regionOf(found.Region)
		answer.Image, answer.Region, answer.Detection = &image, &region, workOf(found.Embedding)
	}
	for i, m := range found.Matches {
		match := api.Match{Work: workAnswer(m.Work), Similarity: similarity(m.Similarity), Photos: make([]api.PhotoMatch, len(m.Photos))}
		for k, p := range m.Photos {
			match.Photos[k] = api.PhotoMatch{ID: p.ID, Similarity: similarity(p.Similarity), Source: p.Source}
		}
		answer.Matches[i] = match
	}
	return answer
}

func spaceAnswer(s service.Space) api.Space {
	return api.Space{Name: s.Name, Fingerprint: s.Fingerprint, Dimension: s.Dimension}
}

// similarity keeps as many digits as a float32 of it has.
func similarity(s float32) float64 { return round(float64(s), 6) }

// workOf is the detection that an embedding followed, nil for none.
func workOf(e *service.Embedding) *api.Detection {
	if e.Work == nil {
		return nil
	}
	d := detectionOf(*e.Work, e.Image)
	return &d
}

// modelOf is nil for a model that was not asked.
func modelOf(m service.ModelName) *api.Model {
	if m.Name == "" {
		return nil
	}
	answer := api.Model(m)
	return &answer
}
