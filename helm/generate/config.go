package main

import (
	"log/slog"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/lexicam/lexicrop/config"
)

// configSchema is the JSON schema of lexicrop.yaml: sections, keys, types, ranges and words are those
// that the tags of config.Config tell; what one key demands of another is left to lexicrop itself.
func configSchema() map[string]any { return sectionSchema(reflect.TypeFor[config.Config]()) }

func sectionSchema(section reflect.Type) map[string]any {
	properties := map[string]any{}
	for field := range section.Fields() {
		if key := field.Tag.Get("key"); key != "-" {
			properties[key] = fieldSchema(field)
		}
	}
	return map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
}

func fieldSchema(field reflect.StructField) map[string]any {
	t := field.Type
	words := strings.Fields(field.Tag.Get("oneof"))
	switch {
	case len(words) > 0:
		return map[string]any{"enum": words}
	case t == reflect.TypeFor[time.Duration]():
		return map[string]any{"$ref": "#/$defs/duration"}
	case t == reflect.TypeFor[config.ByteSize]():
		return map[string]any{"type": []string{"integer", "string"}, "pattern": `^\s*[0-9]+\s*([KMGkmg]?[Ii]?[Bb])?\s*$`, "minimum": 0}
	case t == reflect.TypeFor[slog.Level]():
		return map[string]any{"type": "string"}
	case t == reflect.TypeFor[config.Headers]():
		return map[string]any{"type": "array", "items": map[string]any{"type": "string"}}
	}
	switch t.Kind() {
	case reflect.Struct:
		return sectionSchema(t)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			return map[string]any{"type": "array", "items": sectionSchema(t.Elem())}
		}
		return map[string]any{"type": "array", "items": map[string]any{"type": "string"}}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return bounded("integer", field)
	case reflect.Float64:
		// helm --set makes a text of 0.5.
		schema := bounded("number", field)
		schema["type"], schema["pattern"] = []string{"number", "string"}, `^-?[0-9.]+$`
		return schema
	case reflect.String:
		// A version such as 2 needs no quotes in lexicrop.yaml.
		return map[string]any{"type": []string{"string", "integer"}}
	default:
		panic("no schema for a field of type " + t.String())
	}
}

func bounded(kind string, field reflect.StructField) map[string]any {
	schema := map[string]any{"type": kind}
	for tag, keyword := range map[string]string{"min": "minimum", "max": "maximum"} {
		if text, found := field.Tag.Lookup(tag); found {
			bound, err := strconv.ParseFloat(text, 64)
			if err != nil {
				panic(field.Name + ": " + err.Error())
			}
			schema[keyword] = bound
		}
	}
	return schema
}
