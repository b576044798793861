package rest

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/service/strictjson"
)

func (s *Server) listWorks(c echo.Context) error {
	values, err := query(c)
	if err != nil {
		return err
	}
	options, err := s.listOptions(values)
	if err != nil {
		return err
	}
	page, err := s.service.Works(c.Request().Context(), options)
	if err != nil {
		return err
	}
	answer := api.WorkPage{Works: make([]api.WorkEntry, len(page.Entries)), Next: page.Next}
	for i, e := range page.Entries {
		answer.Works[i] = entryAnswer(e)
	}
	return c.JSON(http.StatusOK, answer)
}

func (s *Server) deleteWorks(c echo.Context) error {
	values, err := query(c)
	if err != nil {
		return err
	}
	filter, rest, err := cutFilter(values)
	if err != nil {
		return err
	}
	if err := refuseOptions(rest); err != nil {
		return err
	}
	n, err := s.service.DeleteWorks(c.Request().Context(), filter)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, api.Deleted{Deleted: n})
}

func (s *Server) getWork(c echo.Context) error {
	id, err := parameter(c, "id")
	if err != nil {
		return err
	}
	e, err := s.service.Work(c.Request().Context(), id)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, entryAnswer(e))
}

// maxWorkBytes is enough for a work whose texts are all as long as they may be.
const maxWorkBytes = 256 << 10

func (s *Server) putWork(c echo.Context) error {
	id, err := parameter(c, "id")
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(c.Request().Body, maxWorkBytes+1))
	if err != nil {
		return bodyError("reading the work", err)
	}
	if len(body) > maxWorkBytes {
		return &service.Error{Code: service.CodeTooManyBytes, Detail: fmt.Sprintf("the work has more than the %d bytes that are taken", maxWorkBytes)}
	}
	var request api.WorkRequest
	if err := strictjson.Object(body, &request); err != nil {
		return badRequest("the body is no work: %v", err)
	}
	if request.ID != "" && request.ID != id {
		return badRequest("the id is %q in the body and %q in the path", request.ID, id)
	}
	w := service.Work{ID: id, Title: request.Title, Artist: request.Artist, Year: request.Year, Link: request.Link}
	if len(request.Metadata) > 0 {
		if err := w.Metadata.UnmarshalJSON(request.Metadata); err != nil {
			return badRequest("the field %q is no JSON object", "metadata")
		}
	}
	if err := s.service.PutWork(c.Request().Context(), w); err != nil {
		return err
	}
	return c.JSON(http.StatusOK, workAnswer(w))
}

func (s *Server) deleteWork(c echo.Context) error {
	id, err := parameter(c, "id")
	if err != nil {
		return err
	}
	if err := s.service.DeleteWork(c.Request().Context(), id); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (s *Server) getPhoto(c echo.Context) error {
	p, err := s.photo(c)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, api.Photo{ID: p.ID, Hash: p.Hash, Source: p.Source, Vector: p.Vector, HasCrop: len(p.Crop) > 0})
}

func (s *Server) getPhotoCrop(c echo.Context) error {
	p, err := s.photo(c)
	if err != nil {
		return err
	}
	if len(p.Crop) == 0 {
		return &service.Error{Code: service.CodeNotInCatalogue, Detail: fmt.Sprintf("no picture is stored of the photo %q", p.ID)}
	}
	sum := sha256.Sum256(p.Crop)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	header := c.Response().Header()
	header.Set("ETag", tag)
	header.Set(echo.HeaderCacheControl, "no-cache")
	if c.Request().Header.Get("If-None-Match") == tag {
		return c.NoContent(http.StatusNotModified)
	}
	return c.Blob(http.StatusOK, "image/jpeg", p.Crop)
}

func (s *Server) photo(c echo.Context) (service.Photo, error) {
	work, photo, err := photoParameters(c)
	if err != nil {
		return service.Photo{}, err
	}
	return s.service.Photo(c.Request().Context(), work, photo)
}

func (s *Server) putPhoto(c echo.Context) error {
	start := time.Now()
	work, photo, err := photoParameters(c)
	if err != nil {
		return err
	}
	upload, err := s.receive(c, uploadFields{photo: photoField})
	defer upload.release()
	if err != nil {
		return err
	}
	options, err := s.photoOptions(upload.options)
	if err != nil {
		return err
	}
	received := time.Since(start)
	p, err := s.service.PutPhoto(c.Request().Context(), service.Work{ID: work}, photo, upload.photo, options)
	if err != nil {
		return err
	}
	e := p.Embedding
	answer := api.PhotoResult{
		Work: work, ID: p.ID, Hash: p.Hash, Image: imageOf(e.Image), Region: regionOf(e.Region), Detection: workOf(e),
		Model: api.Model(e.Model), Detector: modelOf(e.Detector),
		TimingsMs: timingsOf(e.Timings), Warnings: append([]string{}, e.Warnings...),
	}
	writeHeaders(c, e.Timings, start, received, e.Detector, e.Model)
	complete(answer.TimingsMs, start, received)
	return c.JSON(http.StatusOK, answer)
}

func (s *Server) deletePhoto(c echo.Context) error {
	work, photo, err := photoParameters(c)
	if err != nil {
		return err
	}
	if err := s.service.DeletePhoto(c.Request().Context(), work, photo); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func workAnswer(w service.Work) api.Work {
	return api.Work{ID: w.ID, Title: w.Title, Artist: w.Artist, Year: w.Year, Link: w.Link, Metadata: metadataAnswer(w.Metadata)}
}

func entryAnswer(e service.Entry) api.WorkEntry {
	w := e.Work
	answer := api.WorkEntry{
		ID: w.ID, Title: w.Title, Artist: w.Artist, Year: w.Year, Link: w.Link, Metadata: metadataAnswer(w.Metadata),
		Photos: make([]api.PhotoSummary, len(e.Photos)),
	}
	for i, p := range e.Photos {
		answer.Photos[i] = api.PhotoSummary{ID: p.ID, Hash: p.Hash, Source: p.Source}
	}
	return answer
}

func metadataAnswer(m service.Metadata) json.RawMessage {
	if len(m) == 0 {
		return nil
	}
	// What the catalogue gives was JSON before.
	text, _ := json.Marshal(m)
	return text
}

func photoParameters(c echo.Context) (work, photo string, err error) {
	if work, err = parameter(c, "id"); err != nil {
		return "", "", err
	}
	photo, err = parameter(c, "photo")
	return work, photo, err
}

// parameter is a part of the path. Echo decodes it only where the whole path had to be encoded.
func parameter(c echo.Context, name string) (string, error) {
	value := c.Param(name)
	if c.Request().URL.RawPath == "" {
		return value, nil
	}
	value, err := url.PathUnescape(value)
	if err != nil {
		return "", badRequest("the %s in the path cannot be read: %v", name, err)
	}
	return value, nil
}

func query(c echo.Context) (url.Values, error) {
	values, err := url.ParseQuery(c.Request().URL.RawQuery)
	if err != nil {
		return nil, badRequest("the query cannot be read: %v", err)
	}
	return values, nil
}
