package index

import "testing"

func FuzzCursor(f *testing.F) {
	for _, seed := range []string{"", "a", EncodeCursor("a"), EncodeCursor("Q12418/ä #1"), "AWE=", "AWF", "AWE\n", "A\r\nWE"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if after, err := DecodeCursor(text); err != nil {
			if KindOf(err) != Invalid {
				t.Fatalf("%q: %v", text, err)
			}
		} else if text != "" && EncodeCursor(after) != text {
			t.Fatalf("%q and %q are one place", text, EncodeCursor(after))
		}
		if checkID(text) == nil {
			if after, err := DecodeCursor(EncodeCursor(text)); err != nil || after != text {
				t.Fatalf("the cursor after %q: %q, %v", text, after, err)
			}
		}
	})
}
