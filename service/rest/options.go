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
	for name, texts := range values {
		if !slices.Contains(cropOptionNames, name) {
			return o, badRequest("there is no option %q; the options are %s", name, strings.Join(cropOptionNames, ", "))
		}
		if len(texts) > 1 {
			return o, badRequest("the option %s is given %d times", name, len(texts))
		}
		if err := o.set(name, texts[0], maxDetections); err != nil {
			return o, badRequest("the option %s is %q: %v", name, texts[0], err)
		}
	}
	if o.output != api.OutputImage && (values.Has("format") || values.Has("quality")) {
		return o, badRequest("the options format and quality go with output=image only")
	}
	return o, nil
}

func (o *cropOptions) set(name, text string, maxDetections int) (err error) {
	switch name {
	case "detections":
		o.Detections, err = parseInt(text, 1, maxDetections)
	case "min_score":
		o.MinScore, err = parseShare(text)
	case "padding":
		o.Padding, err = parseShare(text)
	case "output":
		o.output, err = parseEnum[api.Output](text, api.OutputJSON, api.OutputImage)
	case "format":
		o.format, err = parseEnum(text, cropFormats...)
	case "quality":
		o.quality, err = parseInt(text, 1, 100)
	}
	return err
}

// refuseOptions is for requests that have none.
func refuseOptions(values url.Values) error {
	for name := range values {
		return badRequest("there is no option %q here", name)
	}
	return nil
}

func parseInt(text string, low, high int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("must be a whole number from %d to %d", low, high)
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
