package main

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"html"
	"maps"
	"slices"
	"strings"

	"github.com/google/pprof/profile"
)

// node is a function as it was called from one place, with the cost of itself and what it called.
type node struct {
	cost     float64
	children map[string]*node
}

func (n *node) add(stack []string, cost float64) {
	n.cost += cost
	if len(stack) == 0 {
		return
	}
	child := n.children[stack[0]]
	if child == nil {
		child = &node{children: map[string]*node{}}
		n.children[stack[0]] = child
	}
	child.add(stack[1:], cost)
}

func (n *node) depth() int {
	deepest := 0
	for _, child := range n.children {
		deepest = max(deepest, child.depth())
	}
	return deepest + 1
}

const (
	flameWidth  = 1200.0 // pixels
	flameRow    = 16.0
	flameNarrow = 1.0 // narrower ones are left out
	letterWidth = 6.5
)

// flameGraph draws the stacks of a processor profile, the outermost function at the bottom, as an SVG
// that shows a function's name and share under the mouse.
func flameGraph(p *profile.Profile) []byte {
	root := &node{children: map[string]*node{}}
	for _, s := range p.Sample {
		root.add(stack(s), float64(s.Value[len(s.Value)-1]))
	}
	var out bytes.Buffer
	height := flameRow * float64(root.depth())
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="monospace" font-size="11">`+"\n", flameWidth, height)
	drawNode(&out, "all", root, root.cost, 0, height-flameRow)
	out.WriteString("</svg>\n")
	return out.Bytes()
}

func drawNode(out *bytes.Buffer, name string, n *node, total, x, y float64) {
	width := flameWidth * n.cost / total
	if width < flameNarrow {
		return
	}
	label := name[strings.LastIndexByte(name, '/')+1:]
	if letters := int(width / letterWidth); len(label) > letters {
		label = label[:letters]
	}
	fmt.Fprintf(out, `<g><title>%s, %.1f %%</title><rect x="%.1f" y="%.1f" width="%.1f" height="%.0f" fill="%s" stroke="white"/><text x="%.1f" y="%.1f">%s</text></g>`+"\n",
		html.EscapeString(name), 100*n.cost/total, x, y, width, flameRow, colour(name), x+2, y+flameRow-4, html.EscapeString(label))
	for _, child := range slices.Sorted(maps.Keys(n.children)) {
		drawNode(out, child, n.children[child], total, x, y-flameRow)
		x += flameWidth * n.children[child].cost / total
	}
}

// colour tells apart whose function it is, and neighbours by a shade.
func colour(name string) string {
	hash := fnv.New32a()
	hash.Write([]byte(name))
	shade := hash.Sum32() % 24
	switch {
	case strings.Contains(name, "lexicrop/preprocess"):
		return fmt.Sprintf("hsl(%d,70%%,70%%)", 100+shade)
	case strings.Contains(name, "lexicrop"):
		return fmt.Sprintf("hsl(%d,70%%,72%%)", 190+shade)
	case strings.HasPrefix(name, "runtime"), strings.Contains(name, "syscall"):
		return fmt.Sprintf("hsl(0,0%%,%d%%)", 75+shade/2)
	default:
		return fmt.Sprintf("hsl(%d,80%%,72%%)", 25+shade)
	}
}
