// Command generate makes what the chart says twice: values.schema.json of values.schema.yaml and of
// lexicrop's own configuration, and the table of values in the chart's README of values.yaml.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: generate HELM-FOLDER")
		os.Exit(2)
	}
	if err := generate(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func generate(folder string) error {
	chart := filepath.Join(folder, "lexicrop")
	text, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return fmt.Errorf("values.yaml: %w", err)
	}
	values := document.Content[0]
	return errors.Join(
		writeSchema(filepath.Join(folder, "generate", "values.schema.yaml"), filepath.Join(chart, "values.schema.json"), values),
		writeTable(filepath.Join(chart, "README.md"), values),
	)
}

// writeSchema completes the schema of source by what is told elsewhere.
func writeSchema(source, target string, values *yaml.Node) error {
	text, err := os.ReadFile(source)
	if err != nil {
		return err
	}
	var schema map[string]any
	if err := yaml.Unmarshal(text, &schema); err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	schema["$defs"].(map[string]any)["config"] = configSchema()
	describe(schema, values)
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(schema); err != nil {
		return fmt.Errorf("%s: %w", target, err)
	}
	return os.WriteFile(target, out.Bytes(), 0o644)
}

// describe gives properties the comments of their values.
func describe(schema map[string]any, values *yaml.Node) {
	properties, _ := schema["properties"].(map[string]any)
	for name, value := range entries(values) {
		property, found := properties[name.Value].(map[string]any)
		if !found {
			continue
		}
		if text := comment(name); text != "" {
			property["description"] = text
		}
		if value.Kind == yaml.MappingNode {
			describe(property, value)
		}
	}
}

const (
	tableBegins = "<!-- values: written by make generate -->\n"
	tableEnds   = "<!-- end of values -->\n"
)

// writeTable puts the table of values between its marks in the file.
func writeTable(target string, values *yaml.Node) error {
	text, err := os.ReadFile(target)
	if err != nil {
		return err
	}
	before, rest, begins := bytes.Cut(text, []byte(tableBegins))
	_, after, ends := bytes.Cut(rest, []byte(tableEnds))
	if !begins || !ends {
		return fmt.Errorf("%s lacks the marks %q and %q", target, tableBegins, tableEnds)
	}
	return os.WriteFile(target, fmt.Appendf(nil, "%s%s\n%s\n%s%s", before, tableBegins, table(values), tableEnds, after), 0o644)
}
