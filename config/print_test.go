package config

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"
)

// Whatever is configured, the printed file says the same. Values that are not
// valid together are of no interest here, so the file is read without Validate.
func TestPrintedFileIsReadBackAsItWas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		want := Default()
		for _, l := range leaves() {
			if rapid.Bool().Draw(rt, "set "+l.key) {
				draw(rt, l, l.of(want))
			}
		}
		var printed bytes.Buffer
		if err := want.Print(&printed); err != nil {
			rt.Fatal(err)
		}
		problems, lines, err := checkKeys("printed", printed.Bytes())
		if err != nil || problems != nil {
			rt.Fatalf("%v %v\n%s", err, problems, printed.String())
		}
		v, err := sources(printed.Bytes(), nil)
		if err != nil {
			rt.Fatal(err)
		}
		got := Default()
		for _, l := range leaves() {
			if problem := (settings{viper: v, lines: lines}).set(got, l); problem != nil {
				rt.Fatalf("%v\n%s", problem, printed.String())
			}
		}
		if diff := cmp.Diff(want, got, sameLists); diff != "" {
			rt.Fatalf("(-printed +read):\n%s\n%s", diff, printed.String())
		}
	})
}

// sameLists makes an empty list equal to none.
var sameLists = cmp.Options{
	cmp.FilterValues(func(a, b []string) bool { return len(a)+len(b) == 0 }, cmp.Ignore()),
	cmp.FilterValues(func(a, b Secrets) bool { return len(a)+len(b) == 0 }, cmp.Ignore()),
	cmp.FilterValues(func(a, b Headers) bool { return len(a)+len(b) == 0 }, cmp.Ignore()),
}

func draw(rt *rapid.T, l leaf, target reflect.Value) {
	text := rapid.StringOf(rapid.Rune().Filter(func(r rune) bool { return r != '\ufeff' && r != 0xfffd }))
	switch field := target.Addr().Interface().(type) {
	case *time.Duration:
		*field = time.Duration(rapid.Int64().Draw(rt, l.key))
	case *ByteSize:
		*field = ByteSize(rapid.Int64().Draw(rt, l.key))
	case *[]string:
		*field = rapid.SliceOf(text).Draw(rt, l.key)
	case *Headers, *Secret, *Secrets: // masked in print, so never the same
	default:
		switch {
		case l.field.Tag.Get("oneof") != "":
			target.Set(reflect.ValueOf(rapid.SampledFrom([]any{l.of(Default()).Interface()}).Draw(rt, l.key)))
		case target.Kind() == reflect.String:
			target.SetString(text.Draw(rt, l.key))
		case target.Kind() == reflect.Bool:
			target.SetBool(rapid.Bool().Draw(rt, l.key))
		case target.Kind() == reflect.Float64:
			target.SetFloat(rapid.Float64().Filter(func(f float64) bool { return !math.IsInf(f, 0) }).Draw(rt, l.key))
		default:
			target.SetInt(rapid.Int64().Draw(rt, l.key))
		}
	}
}

func TestPrintedConfigurationShowsNoSecret(t *testing.T) {
	c := Default()
	c.Triton.Headers = Headers{"b": "s3cret", "a": "s3cret, too"}
	c.Index.DSN, c.Auth.Keys = "postgres://user:s3cret@host/db", Secrets{"s3cret-0123456789", "s3cret-9876543210"}
	var printed bytes.Buffer
	if err := c.Print(&printed); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"  headers:\n    - \"a: ****\"\n    - \"b: ****\"\n", "  dsn: \"****\"\n", "  keys:\n    - \"****\"\n    - \"****\"\n",
	} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("want %s in\n%s", want, printed.String())
		}
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		printed.WriteString(fmt.Sprintf(format, c) + fmt.Sprintf(format, *c) + fmt.Sprintf(format, c.Triton) + fmt.Sprintf(format, c.Triton.Headers) +
			fmt.Sprintf(format, c.Index) + fmt.Sprintf(format, c.Index.DSN) + fmt.Sprintf(format, c.Auth) + fmt.Sprintf(format, c.Auth.Keys))
	}
	if strings.Contains(printed.String(), "s3cret") {
		t.Errorf("the secret is in\n%s", printed.String())
	}
	// A masked file is not taken for the real one.
	path := filepath.Join(t.TempDir(), "printed.yaml")
	writeFile(t, path, printed.Bytes()[:bytes.Index(printed.Bytes(), []byte("&{"))])
	if _, err := Load(Options{File: path}); err == nil || !strings.Contains(err.Error(), "was masked") {
		t.Errorf("loading a masked file: %v", err)
	}
}

func TestExampleFileLoads(t *testing.T) {
	c, err := Load(Options{File: "lexicrop.example.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	c.File = ""
	if diff := cmp.Diff(Default(), c, sameLists); diff != "" {
		t.Errorf("the example is not the default (-want +got):\n%s", diff)
	}
}

// merge sets a leaf in a file.
func merge(t *testing.T, file string, l leaf, text string) string {
	t.Helper()
	content := map[string]any{}
	if err := yaml.Unmarshal([]byte(file), &content); err != nil {
		t.Fatal(err)
	}
	keys := strings.Split(l.key, ".")
	section := content
	for _, key := range keys[:len(keys)-1] {
		if section[key] == nil {
			section[key] = map[string]any{}
		}
		inner, ok := section[key].(map[string]any)
		if !ok {
			t.Fatalf("%s is no section in %s", key, file)
		}
		section = inner
	}
	var value any = text
	if isList(l.field.Type) {
		elements, err := split(text)
		if err != nil {
			t.Fatal(err)
		}
		value = elements
	} else if l.field.Type.PkgPath() == "" && l.field.Type.Kind() != reflect.String {
		// A number or a boolean stands in a file without quotes.
		value = &yaml.Node{Kind: yaml.ScalarNode, Value: text}
	}
	section[keys[len(keys)-1]] = value
	out, err := yaml.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
