package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// checkKeys finds what stands in the file and means nothing, and tells for
// every key that does where it stands ("lexicrop.yaml line 3"). The error is
// about a file that is no YAML at all.
func checkKeys(path string, content []byte) (Problems, map[string]string, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document yaml.Node
	if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, nil, fmt.Errorf("reading %s: there is a second document behind ---", path)
	}
	c := keyChecker{path: path, lines: map[string]string{}}
	c.section(document.Content[0], reflect.TypeFor[Config](), "")
	return c.problems, c.lines, nil
}

type keyChecker struct {
	path     string
	problems Problems
	lines    map[string]string
}

func (c *keyChecker) section(node *yaml.Node, t reflect.Type, prefix string) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Tag == "!!null" {
		return
	}
	if node.Kind != yaml.MappingNode {
		key := strings.TrimSuffix(prefix, ".")
		if key == "" {
			key = "the file"
		}
		c.problem(node, key, "it must be a section, with keys of its own")
		return
	}
	for i := 0; i < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		key := prefix + name.Value
		field, found := fieldOf(t, name.Value)
		switch {
		case !found:
			c.problem(name, key, "there is no such key"+didYouMean(key, allKeys()))
		case isSection(field.Type):
			c.section(value, field.Type, key+".")
		default:
			c.lines[key] = c.line(name)
		}
	}
}

func (c *keyChecker) problem(at *yaml.Node, key, want string) {
	c.problems = append(c.problems, Problem{Key: key, Source: c.line(at), Want: want})
}

func (c *keyChecker) line(at *yaml.Node) string { return fmt.Sprintf("%s line %d", c.path, at.Line) }

func fieldOf(section reflect.Type, name string) (reflect.StructField, bool) {
	for field := range fields(section) {
		if field.Tag.Get("key") == name {
			return field, true
		}
	}
	return reflect.StructField{}, false
}

// allKeys are the keys of all sections and leaves.
func allKeys() []string {
	var keys []string
	for _, l := range leaves() {
		for i, r := range l.key {
			if r == '.' {
				keys = append(keys, l.key[:i])
			}
		}
		keys = append(keys, l.key)
	}
	return keys
}

// didYouMean is the end of a message that name is unknown: the known name that
// is nearest, if one is near. A key in the wrong section is near, too.
func didYouMean(name string, known []string) string {
	nearest, least := "", 1+len(name)/4
	for _, candidate := range known {
		distance := editDistance(name, candidate)
		if lastPart(name) == lastPart(candidate) && strings.Contains(name, ".") {
			distance = min(distance, 2)
		}
		if distance < least {
			nearest, least = candidate, distance
		}
	}
	if nearest == "" {
		return ""
	}
	return ", is " + nearest + " meant?"
}

func lastPart(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// editDistance is the Levenshtein distance: how many bytes to insert, delete or
// replace to make b of a.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = min(diagonal, row[j], row[j+1]) + 1
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
