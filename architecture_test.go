// Package lexicrop_test keeps the import rules of the whole module.
package lexicrop_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const module = "github.com/lexicam/lexicrop/"

// rooms are the folders and what of ours they may import, apart from what is in
// the same room. The folder that fits a package longest is its room.
var rooms = map[string][]string{
	"api":          {},
	"bench":        {"api", "config", "index", "modelrepo", "preprocess", "service", "service/rest", "triton"},
	"cmd":          {"api", "bench", "config", "index", "modelrepo", "preprocess", "service", "service/rest", "triton"},
	"config":       {},
	"helm":         {"config"},
	"index":        {},
	"modelrepo":    {"triton"},
	"preprocess":   {},
	"service":      {"index", "modelrepo", "preprocess", "triton"},
	"service/rest": {"api", "config", "service"},
	"triton":       {},
}

// confined are packages of others that only some rooms may import: everyone
// else stays free of their types.
var confined = map[string][]string{
	"github.com/labstack/echo":               {"service/rest"},
	"github.com/spf13/viper":                 {"config"},
	"github.com/fsnotify/fsnotify":           {"config"},
	"github.com/spf13/cobra":                 {"cmd"},
	"google.golang.org/grpc":                 {"triton"},
	"net/http":                               {"bench", "cmd", "index", "service/rest"},
	"database/sql":                           {"index"},
	"github.com/jackc/pgx":                   {"index"},
	"github.com/pgvector/pgvector-go":        {"index"},
	"github.com/weaviate/weaviate":           {"index"},
	"github.com/weaviate/weaviate-go-client": {"index"},
	"modernc.org/sqlite":                     {"index"},
}

// Tests may import more than what they test, such as triton/tritontest, and
// are not looked at.
func TestImportRules(t *testing.T) {
	// Without cgo other files are built.
	for _, cgo := range []string{"1", "0"} {
		packages := listPackages(t, cgo)
		if len(packages) < 10 {
			t.Fatalf("go list finds only %d packages", len(packages))
		}
		for _, violation := range violations(packages) {
			t.Errorf("CGO_ENABLED=%s: %s", cgo, violation)
		}
	}
}

func TestViolationsAreFound(t *testing.T) {
	got := violations([]goPackage{
		{module + "service", []string{"context", module + "preprocess/jpeg", module + "service/rest", "net/http"}},
		{module + "service/rest", []string{module + "service", module + "triton", "github.com/labstack/echo/v4/middleware"}},
		{module + "service/detection", []string{"google.golang.org/grpc/codes"}},
		{module + "preprocess/jpeg", []string{module + "preprocess", module + "config", "C"}},
		{module + "helpers", nil},
	})
	want := []string{
		"helpers is in no room: give it one in the table",
		"preprocess/jpeg imports config, which the room preprocess may not",
		"service imports net/http, which only bench, cmd, index, service/rest may",
		"service imports service/rest, which the room service may not",
		"service/detection imports google.golang.org/grpc/codes, which only triton may",
		"service/rest imports triton, which the room service/rest may not",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("violations (-want +got):\n%s", diff)
	}
}

type goPackage struct {
	ImportPath string
	Imports    []string
}

func listPackages(t *testing.T, cgo string) []goPackage {
	t.Helper()
	command := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	command.Env = append(command.Environ(), "CGO_ENABLED="+cgo)
	out, err := command.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var packages []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		if p.ImportPath+"/" != module { // the root, which has only this test
			packages = append(packages, p)
		}
	}
}

// violations lists every import that the tables forbid, in order.
func violations(packages []goPackage) []string {
	var found []string
	for _, p := range packages {
		name := strings.TrimPrefix(p.ImportPath, module)
		room := roomOf(name)
		if room == "" {
			found = append(found, name+" is in no room: give it one in the table")
			continue
		}
		for _, imported := range p.Imports {
			if ours, isOurs := strings.CutPrefix(imported, module); isOurs {
				if target := roomOf(ours); target != room && !slices.Contains(rooms[room], target) {
					found = append(found, fmt.Sprintf("%s imports %s, which the room %s may not", name, ours, room))
				}
			} else if allowed, isConfined := ruleOf(imported); isConfined && !slices.Contains(allowed, room) {
				found = append(found, fmt.Sprintf("%s imports %s, which only %s may", name, imported, strings.Join(allowed, ", ")))
			}
		}
	}
	slices.Sort(found)
	return found
}

func roomOf(name string) string { return longestFolder(name, rooms) }

func ruleOf(imported string) (rooms []string, found bool) {
	name := longestFolder(imported, confined)
	return confined[name], name != ""
}

// longestFolder is the longest key that is path or a folder above it.
func longestFolder(path string, keys map[string][]string) string {
	longest := ""
	for key := range keys {
		if (path == key || strings.HasPrefix(path, key+"/")) && len(key) > len(longest) {
			longest = key
		}
	}
	return longest
}
