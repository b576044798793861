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

// searchReport prints the works found for each photo: a table for a person, or JSON as the API answers
// it. What failed is told below the table.
type searchReport struct {
	json     *json.Encoder
	out      io.Writer
	table    *tabwriter.Writer
	failures []string
	err      error
}

func newSearchReport(out io.Writer, asJSON bool) *searchReport {
	if asJSON {
		return &searchReport{json: json.NewEncoder(out)}
	}
	r := &searchReport{out: out, table: tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)}
	r.row("photo", "similarity", "title", "artist", "year", "id", "ms")
	return r
}

func (r *searchReport) photo(name string, s *service.Search, err error) {
	switch {
	case r.json != nil:
		r.encode(name, s, err)
	case err != nil:
		r.row(name, "failed", "", "", "", "", "")
		r.failures = append(r.failures, fmt.Sprintf("%s: %v", name, err))
	case len(s.Matches) == 0:
		r.row(name, "nothing found", "", "", "", "", total(s.Timings))
	default:
		took := total(s.Timings)
		for _, m := range s.Matches {
			year := ""
			if m.Work.Year != 0 {
				year = fmt.Sprint(m.Work.Year)
			}
			r.row(name, fmt.Sprintf("%.3f", m.Similarity), titleOf(m.Work), m.Work.Artist, year, m.Work.ID, took)
			took = ""
		}
	}
}

func (r *searchReport) close() error {
	if r.table != nil && r.err == nil {
		r.err = r.table.Flush()
	}
	for _, failure := range r.failures {
		if r.err == nil {
			_, r.err = fmt.Fprintf(r.out, "  %s\n", failure)
		}
	}
	return r.err
}

func (r *searchReport) encode(name string, s *service.Search, err error) {
	line := struct {
		Photo string `json:"photo"`
		Error string `json:"error,omitempty"`
		*api.SearchResult
	}{Photo: name}
	if err != nil {
		line.Error = err.Error()
	} else {
		result := rest.SearchResult(s)
		line.SearchResult = &result
	}
	if r.err == nil {
		r.err = r.json.Encode(line)
	}
}

func (r *searchReport) row(photo, similarity, title, artist, year, id, ms string) {
	if _, err := fmt.Fprintf(r.table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", photo, similarity, title, artist, year, id, ms); err != nil && r.err == nil {
		r.err = err
	}
}

func total(timings []service.Timing) string {
	var sum time.Duration
	for _, t := range timings {
		sum += t.Duration
	}
	return fmt.Sprintf("%.1f", float64(sum)/float64(time.Millisecond))
}
