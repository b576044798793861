package config

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	gofmt "go/format"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "carry the doc comments over to docs.gen.go and lexicrop.example.yaml")

// The comments in config.go are the only place where documentation is written.
func TestDocumentationIsCarriedOver(t *testing.T) {
	source := docsSource(t, docComments(t))
	if *update {
		writeFile(t, "docs.gen.go", source)
		docs = docComments(t)
	}
	if diff := cmp.Diff(string(source), string(readTestFile(t, "docs.gen.go"))); diff != "" {
		t.Errorf("docs.gen.go is behind config.go, run `go test ./config -update` (-want +got):\n%s", diff)
	}

	var example bytes.Buffer
	example.WriteString("# Everything there is to set, with its default. Nothing here has to be set.\n\n")
	if err := Default().Print(&example); err != nil {
		t.Fatal(err)
	}
	if *update {
		writeFile(t, "lexicrop.example.yaml", example.Bytes())
	}
	if diff := cmp.Diff(example.String(), string(readTestFile(t, "lexicrop.example.yaml"))); diff != "" {
		t.Errorf("lexicrop.example.yaml is behind config.go, run `go test ./config -update` (-want +got):\n%s", diff)
	}
}

func TestDocumentationTellsTheDefault(t *testing.T) {
	p := printer{config: Default()}
	for _, l := range leaves() {
		want := "Default:" + p.value(l, "") + "."
		if !strings.HasSuffix(docs[l.key], want) {
			t.Errorf("the doc comment of %s must end in %q: %q", l.key, want, docs[l.key])
		}
	}
}

// docComments are the comments of the fields in config.go by their key, worded
// for someone who sees keys and no Go.
func docComments(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	comments := map[string]map[string]string{} // by type and field
	ast.Inspect(file, func(n ast.Node) bool {
		spec, isType := n.(*ast.TypeSpec)
		if !isType {
			return true
		}
		if section, isStruct := spec.Type.(*ast.StructType); isStruct {
			comments[spec.Name.Name] = map[string]string{}
			for _, field := range section.Fields.List {
				name := field.Names[0].Name
				comments[spec.Name.Name][name] = withoutSubject(name, field.Doc.Text())
			}
		}
		return true
	})
	byKey := map[string]string{}
	var collect func(section reflect.Type, prefix string)
	collect = func(section reflect.Type, prefix string) {
		for field := range fields(section) {
			key := prefix + field.Tag.Get("key")
			if byKey[key] = comments[section.Name()][field.Name]; byKey[key] == "" {
				t.Errorf("%s.%s has no doc comment", section.Name(), field.Name)
			}
			if isSection(field.Type) {
				collect(field.Type, key+".")
			}
		}
	}
	collect(reflect.TypeFor[Config](), "")
	return byKey
}

// withoutSubject makes "How long …" of "ReadTimeout is how long …".
func withoutSubject(name, comment string) string {
	text := strings.Join(strings.Fields(comment), " ")
	text, found := strings.CutPrefix(text, name+" ")
	if !found {
		return text
	}
	text = strings.TrimPrefix(text, "is ")
	return string(unicode.ToUpper(rune(text[0]))) + text[1:]
}

func docsSource(t *testing.T, comments map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("// Code generated from config.go by `go test ./config -update`. DO NOT EDIT.\n\npackage config\n\n")
	b.WriteString("// docs has the doc comment of every section and leaf by its key.\nvar docs = map[string]string{\n")
	for _, key := range allKeys() {
		if text, ok := comments[key]; ok {
			fmt.Fprintf(&b, "%q: %q,\n", key, text)
			delete(comments, key) // a section comes up once for every leaf
		}
	}
	b.WriteString("}\n")
	source, err := gofmt.Source(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func readTestFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}
