package main

import (
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

const (
	chartWidth  = 16 * vg.Centimeter
	chartHeight = 9 * vg.Centimeter
)

var (
	theirColour = color.RGBA{0xb0, 0x55, 0x3a, 0xff}
	ourColour   = color.RGBA{0x2a, 0x6f, 0x97, 0xff}
)

// line is a series of a chart.
type line struct {
	name   string
	colour color.Color
	points plotter.XYs
}

// drawCharts writes an SVG for each picture's latency and throughput, and for each thing that grows.
func drawCharts(r *results, folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	var names []string
	series := map[string]map[string]*line{}
	for _, p := range r.Pairs {
		if p.PerSecond > 0 {
			continue
		}
		if series[p.Picture] == nil {
			names = append(names, p.Picture)
			series[p.Picture] = map[string]*line{
				"theirs": {name: "original", colour: theirColour}, "ours": {name: "lexicrop", colour: ourColour},
				"their rate": {name: "original", colour: theirColour}, "our rate": {name: "lexicrop", colour: ourColour},
			}
		}
		add := func(key string, y float64) {
			s := series[p.Picture][key]
			s.points = append(s.points, plotter.XY{X: float64(p.Clients), Y: y})
		}
		their, _, _ := middle(p.Original, p50)
		our, _, _ := middle(p.Ours, p50)
		theirRate, _, _ := middle(p.Original, perSecond)
		ourRate, _, _ := middle(p.Ours, perSecond)
		add("theirs", their.Seconds()*1000)
		add("ours", our.Seconds()*1000)
		add("their rate", theirRate)
		add("our rate", ourRate)
	}
	for i, name := range names {
		s := series[name]
		if err := drawLines(filepath.Join(folder, fmt.Sprintf("latency-%d.svg", i+1)), name, "clients at once", "p50, ms", true, *s["theirs"], *s["ours"]); err != nil {
			return err
		}
		if err := drawLines(filepath.Join(folder, fmt.Sprintf("throughput-%d.svg", i+1)), name, "clients at once", "answers a second", true, *s["their rate"], *s["our rate"]); err != nil {
			return err
		}
	}
	for _, g := range r.Growth {
		median, slow := line{name: "p50", colour: ourColour}, line{name: "p99", colour: theirColour}
		for _, p := range g.Points {
			median.points = append(median.points, plotter.XY{X: p.X, Y: p.P50.Seconds() * 1000})
			slow.points = append(slow.points, plotter.XY{X: p.X, Y: p.P99.Seconds() * 1000})
		}
		if err := drawLines(filepath.Join(folder, growthChart(g)), g.Of, g.Unit, "ms", g.Unit != "works", median, slow); err != nil {
			return err
		}
	}
	return nil
}

func growthChart(g growth) string {
	return "growth-" + strings.ReplaceAll(g.Unit, " ", "-") + ".svg"
}

func drawLines(file, title, x, y string, logarithmic bool, lines ...line) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Legend.Top, p.Legend.Left = true, true
	if logarithmic {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	} else {
		p.Y.Min = 0
	}
	p.Add(plotter.NewGrid())
	for _, l := range lines {
		drawn, dots, err := plotter.NewLinePoints(l.points)
		if err != nil {
			return fmt.Errorf("drawing %s: %w", file, err)
		}
		drawn.Color, drawn.Width, dots.Color = l.colour, vg.Points(1.5), l.colour
		p.Add(drawn, dots)
		p.Legend.Add(l.name, drawn, dots)
	}
	if err := p.Save(chartWidth, chartHeight, file); err != nil {
		return fmt.Errorf("drawing %s: %w", file, err)
	}
	return nil
}
