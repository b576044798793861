package rest

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/service"
)

// cropOptions are the options of POST /v1/crop.
type cropOptions struct {
	service.CropOptions
	output  api.Output
	format  api.CropFormat
	quality int
}

// cropOptionNames are the options that the contract has, a test keeps them in step.
var cropOptionNames = []string{"detections", "min_score", "padding", "output", "format", "quality"}

// parseCropOptions reads values over defaults. maxDetections is the largest number to ask for.
func parseCropOptions(values url.Values, defaults cropOptions, maxDetections int) (cropOptions, error) {
	o := defaults
	err := setOptions(values, cropOptionNames, func(name, text string) error { return o.set(name, text, maxDetections) })
	if err == nil && o.output != api.OutputImage && (values.Has("format") || values.Has("quality")) {
		err = badRequest("the options format and quality go with output=image only")
	}
	return o, err
}

// setOptions calls set for every option of values, none of which may be given twice.
func setOptions(values url.Values, names []string, set func(name, text string) error) error {
	for name, texts := range values {
		if !slices.Contains(names, name) {
			return unknownOption(name, names)
		}
		if len(texts) != 1 {
			return badRequest("the option %s is given %d times", name, len(texts))
		}
		if err := set(name, texts[0]); err != nil {
			return badRequest("the option %s is %q: %v", name, texts[0], err)
		}
	}
	return nil
}

func unknownOption(name string, names []string) error {
	if len(names) == 0 {
		return badRequest("there is no option %q here", name)
	}
	return badRequest("there is no option %q; the options are %s", name, strings.Join(names, ", "))
}

func (o *cropOptions) set(name, text string, maxDetections int) (err error) {
	switch name {
	case "detections":
		o.Detections, err = parseCount(text, maxDetections)
	case "min_score":
		o.MinScore, err = parseShare(text)
	case "padding":
		o.Padding, err = parseShare(text)
	case "output":
		o.output, err = parseEnum[api.Output](text, api.OutputJSON, api.OutputImage)
	case "format":
		o.format, err = parseEnum(text, cropFormats...)
	case "quality":
		o.quality, err = parseCount(text, 100)
	}
	return err
}

// refuseOptions is for requests that have none.
func refuseOptions(values url.Values) error { return setOptions(values, nil, nil) }

func parseCount(text string, most int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, fmt.Errorf("must be a whole number from 1 to %d", most)
	}
	return n, nil
}

// parseShare takes numbers from 0 to 1; the comparison is written so that NaN is refused too.
func parseShare(text string) (float64, error) {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || !(x >= 0 && x <= 1) {
		return 0, fmt.Errorf("must be a number from 0 to 1")
	}
	return x, nil
}

func parseEnum[T ~string](text string, known ...T) (T, error) {
	if !slices.Contains(known, T(text)) {
		return "", fmt.Errorf("must be one of %v", known)
	}
	return T(text), nil
}

func parseBool(text string) (bool, error) {
	switch text {
	case "true":
		return true, nil
	case "false":
		return false, nil
	default:
		return false, fmt.Errorf("must be true or false")
	}
}
