package helm_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every helm command that is written down has flags that helm knows, and none keeps a newer chart from its
// own defaults.
func TestDocumentedHelmCommandsAreThoseOfHelm(t *testing.T) {
	command := regexp.MustCompile(`helm (install|upgrade|test|rollback|uninstall) (?:[^\n\x60]|\\\n)*`)
	flag := regexp.MustCompile(`\s(-n|--[a-z-]+)`)
	found := 0
	for _, file := range []string{"../docs/kubernetes.md", chart + "/README.md", chart + "/templates/NOTES.txt"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range command.FindAllStringSubmatch(string(text), -1) {
			help, err := run(t, tool(t, "bin/helm"), match[1], "--help")
			if err != nil {
				t.Fatal(help)
			}
			written, _, _ := strings.Cut(match[0], " #")
			for _, f := range flag.FindAllStringSubmatch(written, -1) {
				found++
				if !slices.ContainsFunc(strings.Fields(help), func(word string) bool { return strings.TrimRight(word, ",") == f[1] }) {
					t.Errorf("%s: helm %s knows no %s: %s", file, match[1], f[1], match[0])
				}
				if f[1] == "--reuse-values" {
					t.Errorf("%s: --reset-then-reuse-values has a newer chart's defaults too: %s", file, match[0])
				}
			}
		}
	}
	if found < 10 {
		t.Errorf("only %d flags were found", found)
	}
}
