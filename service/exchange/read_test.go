package exchange

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestLinesOfEveryLength(t *testing.T) {
	const most = 100_000 // more than is buffered
	long := strings.Repeat("y", most)
	for text, want := range map[string][]string{
		"":                            nil,
		"\n\r\n  \n":                  nil,
		"a":                           {"1 a"},
		"a\r\n\n b \n":                {"1 a", "3 b"},
		long + "\nb":                  {"1 " + long, "2 b"},
		long + "y\nb\n":               {"1 too long", "2 b"},
		"a\n" + long + long + long:    {"1 a", "2 too long"},
		long + long + "\n\n" + "c\nd": {"1 too long", "3 c", "4 d"},
	} {
		for _, r := range []io.Reader{strings.NewReader(text), iotest.HalfReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text))} {
			if d := cmp.Diff(want, readLines(t, newLineReader(r, most))); d != "" {
				t.Errorf("%.20q: %s", text, d)
			}
		}
	}
}

func readLines(t *testing.T, l *lineReader) []string {
	t.Helper()
	var got []string
	for {
		line, number, err := l.next()
		switch {
		case errors.Is(err, io.EOF):
			return got
		case errors.Is(err, errTooLong):
			line = []byte("too long")
		case err != nil:
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%d %s", number, line))
	}
}

func TestLinesEndWithTheErrorOfTheirReader(t *testing.T) {
	broken := errors.New("broken")
	l := newLineReader(io.MultiReader(strings.NewReader("a\nhalf"), iotest.ErrReader(broken)), 100)
	if line, _, err := l.next(); string(line) != "a" || err != nil {
		t.Fatalf("%s, %v", line, err)
	}
	if line, number, err := l.next(); !errors.Is(err, broken) || number != 2 {
		t.Errorf("half a line is %q, %d, %v", line, number, err)
	}
}
