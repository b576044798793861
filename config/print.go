package config

import (
	"bytes"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Print writes the configuration as a YAML file with every key, its
// documentation and its value. Load takes it back as it is, but for secrets:
// they are masked and have to be written in again.
func (c *Config) Print(w io.Writer) error {
	p := printer{config: c}
	p.section(reflect.TypeFor[Config](), "", nil, 0)
	if p.err != nil {
		return fmt.Errorf("printing the configuration: %w", p.err)
	}
	_, err := w.Write(p.out.Bytes())
	return err
}

type printer struct {
	config *Config
	out    bytes.Buffer
	err    error
}

func (p *printer) section(t reflect.Type, prefix string, index []int, depth int) {
	indent := strings.Repeat("  ", depth)
	for field := range fields(t) {
		name := field.Tag.Get("key")
		path := slices.Concat(index, field.Index)
		if isSection(field.Type) && !bytes.HasSuffix(p.out.Bytes(), []byte(":\n")) && p.out.Len() > 0 {
			p.out.WriteByte('\n')
		}
		p.comment(docs[prefix+name], indent)
		if isSection(field.Type) {
			p.out.WriteString(indent + name + ":\n")
			p.section(field.Type, prefix+name+".", path, depth+1)
			continue
		}
		p.out.WriteString(indent + name + ":" + p.value(leaf{prefix + name, path, field}, indent) + "\n")
	}
}

func (p *printer) comment(text, indent string) {
	text, standard, isLeaf := strings.Cut(text, " Default: ")
	lines := wrap(text, 78-len(indent))
	if isLeaf {
		lines = append(lines, "Default: "+standard)
	}
	for _, line := range lines {
		p.out.WriteString(indent + "# " + line + "\n")
	}
}

// value is what stands behind the colon of a key.
func (p *printer) value(l leaf, indent string) string {
	texts := format(l.of(p.config))
	switch {
	case isList(l.field.Type) && len(texts) == 0:
		return " []"
	case isList(l.field.Type):
		var list strings.Builder
		for _, text := range texts {
			list.WriteString("\n" + indent + "  - " + p.scalar(text))
		}
		return list.String()
	case l.field.Type.Kind() == reflect.String && l.field.Tag.Get("oneof") == "":
		return " " + p.scalar(texts[0])
	default:
		return " " + texts[0]
	}
}

// scalar is a text as YAML. Texts of people's choice are quoted: YAML might
// take them for something else.
func (p *printer) scalar(text string) string {
	line, err := yaml.Marshal(&yaml.Node{Kind: yaml.ScalarNode, Value: text, Style: yaml.DoubleQuotedStyle})
	if err != nil {
		p.err = err
	}
	return strings.TrimSuffix(string(line), "\n")
}

// wrap breaks a text into lines of at most width bytes, where words allow it.
func wrap(text string, width int) []string {
	var lines []string
	for word := range strings.FieldsSeq(text) {
		last := len(lines) - 1
		if last >= 0 && len(lines[last])+1+len(word) <= width {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}
