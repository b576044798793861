package index

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseFilter(t *testing.T) {
	for text, want := range map[string]Condition{
		"artist=Claude Monet":            {"artist", Equal, []string{"Claude Monet"}},
		"artist=Claude Monet|E. Manet":   {"artist", Equal, []string{"Claude Monet", "E. Manet"}},
		"title!=a=b!=c":                  {"title", NotEqual, []string{"a=b!=c"}},
		"year>=1880":                     {"year", AtLeast, []string{"1880"}},
		"year<=-50":                      {"year", AtMost, []string{"-50"}},
		"metadata.museum=":               {"metadata.museum", Equal, []string{""}},
		"metadata.a.b=|":                 {"metadata.a.b", Equal, []string{"", ""}},
		`metadata.a\=b\\=\|x\\|\y`:       {`metadata.a=b\`, Equal, []string{`|x\`, "y"}},
		"metadata. spaced key = value  ": {"metadata. spaced key ", Equal, []string{" value  "}},
	} {
		got, err := ParseFilter(text)
		if diff := cmp.Diff(Filter{want}, got); err != nil || diff != "" {
			t.Errorf("%q: %v (-want +got):\n%s", text, err, diff)
		}
	}
}

func TestParseFilterRefuses(t *testing.T) {
	for _, text := range []string{"", "artist", "=x", "artist<x", "artist!x", "artist>=x", "colour=red", "Artist=x", "metadata.=x", "metadata=x", "year=soon", "year>=1|2", "year=1e3", "year=99999999999", `artist\=x`} {
		if f, err := ParseFilter(text); KindOf(err) != Invalid {
			t.Errorf("%q: %v, %v", text, f, err)
		}
	}
}

// TestConditionsComeBackFromTheirText is also true of JSON, where a condition
// is a string.
func TestConditionsComeBackFromTheirText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.StringOf(rapid.RuneFrom([]rune(`ab\|=!<>é "`)))
		want := Filter{{
			Field:  "metadata." + rapid.StringOfN(rapid.RuneFrom([]rune(`ab\|=!<>é "`)), 1, -1, -1).Draw(t, "key"),
			Op:     rapid.SampledFrom([]Op{Equal, NotEqual}).Draw(t, "op"),
			Values: rapid.SliceOfN(texts, 1, 4).Draw(t, "values"),
		}}
		got, err := ParseFilter(want[0].String())
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Fatalf("%q: %v (-want +got):\n%s", want[0], err, diff)
		}
		encoded, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var decoded Filter
		err = json.Unmarshal(encoded, &decoded)
		if diff := cmp.Diff(want, decoded); err != nil || diff != "" {
			t.Fatalf("%s: %v (-want +got):\n%s", encoded, err, diff)
		}
	})
}

func FuzzParseFilter(f *testing.F) {
	for _, seed := range []string{"artist=Claude Monet|Manet", "year>=1880", `metadata.a\=b!=\|x\\`, "=", "a!", `\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := ParseFilter(text)
		if err != nil {
			if KindOf(err) != Invalid {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		again, err := ParseFilter(filter[0].String())
		if diff := cmp.Diff(filter, again); err != nil || diff != "" {
			t.Fatalf("%q, written as %q: %v (-first +second):\n%s", text, filter[0], err, diff)
		}
		var none Work
		equal := filter.Match(&none)
		opposite := map[Op]Op{Equal: NotEqual, NotEqual: Equal}
		if op, ok := opposite[filter[0].Op]; ok {
			filter[0].Op = op
			if filter.Match(&none) == equal {
				t.Fatalf("%q and its opposite both say %t", text, equal)
			}
		}
	})
}
