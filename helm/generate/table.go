package main

import (
	"encoding/json"
	"fmt"
	"iter"
	"strings"

	"go.yaml.in/yaml/v3"
)

// entries are the keys and values of a mapping, in their order.
func entries(mapping *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(name, value *yaml.Node) bool) {
		for i := 0; i+1 < len(mapping.Content); i += 2 {
			if !yield(mapping.Content[i], mapping.Content[i+1]) {
				return
			}
		}
	}
}

// comment is the text above a key, in one line.
func comment(name *yaml.Node) string {
	// A blank line ends what belongs to another key.
	paragraphs := strings.Split(name.HeadComment, "\n\n")
	lines := strings.Split(paragraphs[len(paragraphs)-1], "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(strings.TrimPrefix(line, "#"))
	}
	return strings.TrimSpace(strings.Join(lines, " "))
}

// table lists all values in Markdown: a part for each section at the top that is one.
func table(values *yaml.Node) string {
	var out strings.Builder
	out.WriteString("| key | default | |\n| --- | --- | --- |\n")
	rows(&out, "", values)
	return out.String()
}

func rows(out *strings.Builder, prefix string, mapping *yaml.Node) {
	for name, value := range entries(mapping) {
		key, text := prefix+name.Value, comment(name)
		// What a comment says of a whole is shown as one value.
		if value.Kind == yaml.MappingNode && len(value.Content) > 0 && value.Style&yaml.FlowStyle == 0 {
			if text != "" {
				fmt.Fprintf(out, "| **%s** | | %s |\n", key, cell(text))
			}
			rows(out, key+".", value)
			continue
		}
		fmt.Fprintf(out, "| `%s` | `%s` | %s |\n", key, cell(compact(value)), cell(text))
	}
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// compact is a value as JSON, which is YAML too.
func compact(value *yaml.Node) string {
	var decoded any
	if err := value.Decode(&decoded); err != nil {
		panic(fmt.Sprintf("line %d: %v", value.Line, err))
	}
	text, err := json.Marshal(decoded)
	if err != nil {
		panic(fmt.Sprintf("line %d: %v", value.Line, err))
	}
	return string(text)
}
