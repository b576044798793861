package main

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"time"
)

//go:embed performance.md.tmpl
var performanceTemplate string

// writeReport writes the charts into folder, and the document around them.
func writeReport(r *results, folder, document string) error {
	if err := drawCharts(r, folder); err != nil {
		return err
	}
	if document == "" {
		return nil
	}
	relative, err := filepath.Rel(filepath.Dir(document), folder)
	if err != nil {
		return err
	}
	t, err := template.New("performance").Funcs(template.FuncMap{
		"ms": milliseconds, "percent": func(x float64) string { return fmt.Sprintf("%.0f %%", 100*x) },
		"pairs": pairRows, "goals": goals, "tuning": tuningRows, "cold": coldRows, "settings": settingRows, "requests": requestRows,
		"stages": stageRows, "growth": func(r *results) string { return growthRows(r, relative) }, "chart": func(name string) string { return filepath.ToSlash(filepath.Join(relative, name)) },
	}).Parse(performanceTemplate)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := t.Execute(&out, r); err != nil {
		return fmt.Errorf("writing %s: %w", document, err)
	}
	return errors.Join(os.MkdirAll(filepath.Dir(document), 0o755), os.WriteFile(document, out.Bytes(), 0o600))
}

func milliseconds(d time.Duration) string {
	value := float64(d) / float64(time.Millisecond)
	switch {
	case value < 10:
		return fmt.Sprintf("%.2f", value)
	case value < 100:
		return fmt.Sprintf("%.1f", value)
	default:
		return fmt.Sprintf("%.0f", value)
	}
}

// goals are what the project wants to reach beside the original, and what was measured.
func goals(r *results) string {
	var rows []string
	row := func(what, goal string, reached bool, measured string) {
		met := "no"
		if reached {
			met = "yes"
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %s | %s |", what, goal, measured, met))
	}
	if len(r.Pairs) == 0 {
		return ""
	}
	small := r.Pairs[0].Picture
	theirs, own := 0.0, 0.0
	for _, p := range r.Pairs {
		if p.Picture != small || p.PerSecond > 0 {
			continue
		}
		their, _, _ := middle(p.Original, perSecond)
		our, _, _ := middle(p.Ours, perSecond)
		theirs, own = max(theirs, their), max(own, our)
		switch p.Clients {
		case 1:
			ratio := quickest(r, p)
			row("median latency of one client, the original in its quickest setting for that", "1/6", ratio >= 6, fmt.Sprintf("1/%.1f", ratio))
		case 8:
			ratio := quotient(p, p99)
			row("99th percentile of eight clients", "1/15", ratio >= 15, fmt.Sprintf("1/%.1f", ratio))
		}
	}
	if theirs > 0 {
		row("most answers a second, each at its best number of clients", "12 times", own/theirs >= 12, fmt.Sprintf("%.1f times", own/theirs))
	}
	if limit := r.Floor.perSecond(); limit > 0 {
		share := r.Floor.Service.PerSecond() / limit
		row("share of what decoding and network alone allow", "60 %", share >= 0.6, fmt.Sprintf("%.0f %%", 100*share))
	}
	return strings.Join(rows, "\n")
}

// quickest is how many times ours the original's median latency of one client is, in whichever of its
// settings that is the least: the one that answers most under load may be slow alone.
func quickest(r *results, p pair) float64 {
	their, _, _ := middle(p.Original, p50)
	for _, t := range r.Tuning {
		their = min(their, t.One.Latencies.P50)
	}
	our, _, _ := middle(p.Ours, p50)
	if our == 0 {
		return 0
	}
	return float64(their) / float64(our)
}

// quotient is how many times the original's value ours is.
func quotient(p pair, value func(turn) time.Duration) float64 {
	theirs, _, _ := middle(p.Original, value)
	own, _, _ := middle(p.Ours, value)
	if own == 0 {
		return 0
	}
	return float64(theirs) / float64(own)
}

func pairRows(r *results) string {
	var out strings.Builder
	picture := ""
	for _, p := range r.Pairs {
		if p.Picture != picture {
			picture = p.Picture
			fmt.Fprintf(&out, "\n**%s**\n\n| load | service | p50 ms | p95 | p99 | max | answers/s (least to most) | processor ms | memory MB | failures |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n", p.Picture)
		}
		load := fmt.Sprintf("%d clients", p.Clients)
		if p.PerSecond > 0 {
			load = fmt.Sprintf("open, %g/s", p.PerSecond)
		}
		for _, side := range []struct {
			name  string
			turns []turn
		}{{"original", p.Original}, {"lexicrop", p.Ours}} {
			fmt.Fprintf(&out, "| %s | %s | %s |\n", load, side.name, strings.Join(turnCells(side.turns), " | "))
		}
	}
	return out.String()
}

func turnCells(turns []turn) []string {
	duration := func(value func(turn) time.Duration) string {
		m, _, _ := middle(turns, value)
		return milliseconds(m)
	}
	rate, low, high := middle(turns, perSecond)
	bytes, _, _ := middle(turns, memory)
	failures := 0
	for _, t := range turns {
		failures += t.Failures
	}
	return []string{
		duration(p50), duration(p95), duration(p99), duration(most), fmt.Sprintf("%.1f (%.1f to %.1f)", rate, low, high),
		duration(cpu), fmt.Sprint(bytes >> 20), fmt.Sprint(failures),
	}
}

func tuningRows(r *results) string {
	var rows []string
	for _, t := range r.Tuning {
		rows = append(rows, fmt.Sprintf("| %s | %s | %.1f |", t.Setting, milliseconds(t.One.Latencies.P50), t.Many.PerSecond()))
	}
	return strings.Join(rows, "\n")
}

func coldRows(r *results) string {
	var rows []string
	for _, c := range r.Cold {
		sorted := slices.Sorted(slices.Values(c.Took))
		if len(sorted) > 0 {
			rows = append(rows, fmt.Sprintf("| %s | %.1f | %.1f to %.1f |", c.System, sorted[len(sorted)/2].Seconds(), sorted[0].Seconds(), sorted[len(sorted)-1].Seconds()))
		}
	}
	return strings.Join(rows, "\n")
}

func settingRows(r *results) string {
	var rows []string
	for _, s := range r.Settings {
		ownP50, _, _ := middle(s.Default, p50)
		otherP50, _, _ := middle(s.Setting, p50)
		ownRate, _, _ := middle(s.Default, perSecond)
		otherRate, _, _ := middle(s.Setting, perSecond)
		rows = append(rows, fmt.Sprintf("| %s | %d | %s | %s | %.1f | %.1f |", s.Name, s.Clients, milliseconds(otherP50), milliseconds(ownP50), otherRate, ownRate))
	}
	return strings.Join(rows, "\n")
}

func requestRows(r *results) string {
	var rows []string
	for _, k := range r.Requests {
		median, low, high := middle(k.Turns, p50)
		late, _, _ := middle(k.Turns, p95)
		rate, _, _ := middle(k.Turns, perSecond)
		spent, _, _ := middle(k.Turns, cpu)
		alone, _, _ := middle(k.Turns, own)
		rows = append(rows, fmt.Sprintf("| %s | %d | %s (%s to %s) | %s | %.1f | %s | %s |", k.Name, k.Clients, milliseconds(median), milliseconds(low), milliseconds(high), milliseconds(late), rate, milliseconds(spent), milliseconds(alone)))
	}
	return strings.Join(rows, "\n")
}

func stageRows(r *results) string {
	var rows []string
	for _, stage := range slices.Sorted(maps.Keys(r.Profile.Stages)) {
		rows = append(rows, fmt.Sprintf("| %s | %.2f |", stage, r.Profile.Stages[stage]))
	}
	return strings.Join(rows, "\n")
}

func growthRows(r *results, relative string) string {
	var out strings.Builder
	for _, g := range r.Growth {
		fmt.Fprintf(&out, "\n**%s**\n\n| %s | p50 ms | p99 ms | answers/s |\n| --- | --- | --- | --- |\n", g.Of, g.Unit)
		for _, p := range g.Points {
			rate := ""
			if p.PerSecond > 0 {
				rate = fmt.Sprintf("%.1f", p.PerSecond)
			}
			fmt.Fprintf(&out, "| %.4g | %s | %s | %s |\n", p.X, milliseconds(p.P50), milliseconds(p.P99), rate)
		}
		fmt.Fprintf(&out, "\n![%s](%s)\n", g.Of, filepath.ToSlash(filepath.Join(relative, growthChart(g))))
	}
	return out.String()
}
