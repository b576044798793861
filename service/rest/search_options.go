package rest

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"

	"github.com/lexicam/lexicrop/service"
)

// The options that the contract has; a test keeps them in step.
var (
	embedOptionNames  = []string{"crop", "min_score", "padding"}
	searchOptionNames = []string{"crop", "min_score", "padding", "limit", "threshold", "photos", filterOption}
	photoOptionNames  = []string{"crop", "min_score", "padding", "source"}
	listOptionNames   = []string{"limit", "cursor", filterOption}
)

// filterOption may be given several times.
const filterOption = "filter"

// embedDefaults are the options of a request that has none.
func (s *Server) embedDefaults(crop bool) service.EmbedOptions {
	return service.EmbedOptions{Crop: crop, MinScore: s.config.Crop.MinScore, Padding: s.config.Crop.Padding}
}

func (s *Server) embedOptions(values url.Values) (service.EmbedOptions, error) {
	o := s.embedDefaults(true)
	err := setOptions(values, embedOptionNames, func(name, text string) error { return setEmbedOption(&o, name, text) })
	return o, errorOr(err, checkEmbedOptions(values, o))
}

func setEmbedOption(o *service.EmbedOptions, name, text string) (err error) {
	switch name {
	case "crop":
		o.Crop, err = parseBool(text)
	case "min_score":
		o.MinScore, err = parseShare(text)
	case "padding":
		o.Padding, err = parseShare(text)
	}
	return err
}

func checkEmbedOptions(values url.Values, o service.EmbedOptions) error {
	if !o.Crop && (values.Has("min_score") || values.Has("padding")) {
		return badRequest("the options min_score and padding go with crop=true only")
	}
	return nil
}

// searchOptions reads the options of a search.
func (s *Server) searchOptions(values url.Values) (service.EmbedOptions, service.SearchOptions, error) {
	defaults := s.config.Search
	e, o := s.embedDefaults(true), service.SearchOptions{Limit: defaults.Limit, Photos: defaults.Photos}
	if defaults.Threshold > -1 {
		threshold := float32(defaults.Threshold)
		o.Threshold = &threshold
	}
	filter, rest, err := cutFilter(values)
	if err != nil {
		return e, o, err
	}
	o.Filter = filter
	err = setOptions(rest, searchOptionNames, func(name, text string) (err error) {
		switch name {
		case "limit":
			o.Limit, err = parseCount(text, s.config.Limits.MaxResults)
		case "photos":
			o.Photos, err = parseCount(text, maxPhotos)
		case "threshold":
			o.Threshold, err = parseSimilarity(text)
		default:
			err = setEmbedOption(&e, name, text)
		}
		return err
	})
	return e, o, errorOr(err, checkEmbedOptions(values, e))
}

// maxPhotos is how many photos of each work a search may ask for.
const maxPhotos = 1000

func (s *Server) photoOptions(values url.Values) (service.PhotoOptions, error) {
	o := service.PhotoOptions{EmbedOptions: s.embedDefaults(false)}
	err := setOptions(values, photoOptionNames, func(name, text string) error {
		if name == "source" {
			o.Source = text
			return nil
		}
		return setEmbedOption(&o.EmbedOptions, name, text)
	})
	return o, errorOr(err, checkEmbedOptions(values, o.EmbedOptions))
}

func (s *Server) listOptions(values url.Values) (service.ScanOptions, error) {
	o := service.ScanOptions{Limit: min(defaultPage, s.config.Limits.MaxResults)}
	filter, rest, err := cutFilter(values)
	if err != nil {
		return o, err
	}
	o.Filter = filter
	err = setOptions(rest, listOptionNames, func(name, text string) (err error) {
		switch name {
		case "limit":
			o.Limit, err = parseCount(text, s.config.Limits.MaxResults)
		case "cursor":
			o.Cursor = text
		}
		return err
	})
	return o, err
}

// defaultPage is how many works a page has where nothing is said.
const defaultPage = 100

// cutFilter reads the conditions and returns the other options.
func cutFilter(values url.Values) (service.Filter, url.Values, error) {
	conditions, ok := values[filterOption]
	if !ok {
		return nil, values, nil
	}
	var filter service.Filter
	for _, text := range conditions {
		var c service.Condition
		if err := c.UnmarshalText([]byte(text)); err != nil {
			return nil, nil, err
		}
		filter = append(filter, c)
	}
	rest := maps.Clone(values)
	delete(rest, filterOption)
	return filter, rest, filter.Check()
}

func parseSimilarity(text string) (*float32, error) {
	x, err := strconv.ParseFloat(text, 32)
	if err != nil || !(x >= -1 && x <= 1) {
		return nil, fmt.Errorf("must be a number from -1 to 1")
	}
	similarity := float32(x)
	return &similarity, nil
}

// errorOr returns the first error.
func errorOr(errs ...error) error {
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return errs[i]
	}
	return nil
}
