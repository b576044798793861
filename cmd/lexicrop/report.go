package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/service"
	"github.com/lexicam/lexicrop/service/rest"
)

// report prints a result a photo: a table for a person, or JSON as the API answers it.
type report struct {
	json  *json.Encoder
	table *tabwriter.Writer
	err   error
}

func newReport(out io.Writer, asJSON bool) *report {
	if asJSON {
		return &report{json: json.NewEncoder(out)}
	}
	r := &report{table: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	r.row("photo", "work", "score", "salience", "box", "ms")
	return r
}

func (r *report) photo(name string, crop *service.Crop, err error) {
	switch {
	case r.json != nil:
		r.encode(name, crop, err)
	case err != nil:
		r.row(name, "failed: "+err.Error(), "", "", "", "")
	case len(crop.Detections) == 0:
		r.row(name, "nothing found", "", "", "", milliseconds(crop))
	default:
		for i, d := range crop.Detections {
			took := ""
			if i == 0 {
				took = milliseconds(crop)
			}
			r.row(name, d.Label, fmt.Sprintf("%.2f", d.Score), fmt.Sprintf("%.2f", d.Salience),
				fmt.Sprintf("%.0f,%.0f,%.0f,%.0f", d.Box.X1, d.Box.Y1, d.Box.X2, d.Box.Y2), took)
		}
	}
}

func (r *report) close() error {
	if r.table != nil && r.err == nil {
		r.err = r.table.Flush()
	}
	return r.err
}

func (r *report) encode(name string, crop *service.Crop, err error) {
	line := struct {
		Photo string `json:"photo"`
		Error string `json:"error,omitempty"`
		*api.CropResult
	}{Photo: name}
	if err != nil {
		line.Error = err.Error()
	} else {
		result := rest.CropResult(crop)
		line.CropResult = &result
	}
	if r.err == nil {
		r.err = r.json.Encode(line)
	}
}

func (r *report) row(cells ...string) {
	for i, cell := range cells {
		separator := "\t"
		if i == len(cells)-1 {
			separator = "\n"
		}
		if _, err := io.WriteString(r.table, cell+separator); err != nil && r.err == nil {
			r.err = err
		}
	}
}

func milliseconds(crop *service.Crop) string {
	var total time.Duration
	for _, t := range crop.Timings {
		total += t.Duration
	}
	return fmt.Sprintf("%.1f", float64(total)/float64(time.Millisecond))
}
