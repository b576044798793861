package index

import "encoding/base64"

// EncodeCursor is a Page.Next for stores that read on by id: the next page
// starts after this work.
func EncodeCursor(after string) string {
	return base64.RawURLEncoding.EncodeToString(append([]byte{cursorVersion}, after...))
}

// DecodeCursor returns the id that EncodeCursor took, "" of an empty cursor,
// or an *Error (Invalid).
func DecodeCursor(cursor string) (after string, err error) {
	if cursor == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	// One place has one cursor: decoding passes over line breaks and idle bits, encoding has none.
	if err != nil || base64.RawURLEncoding.EncodeToString(raw) != cursor || len(raw) == 0 || raw[0] != cursorVersion || checkID(string(raw[1:])) != nil {
		return "", invalid("cursor %q is none that a page gave", shorten(cursor))
	}
	return string(raw[1:]), nil
}

const cursorVersion = 1

// Prepare checks options and fills in the default limit. Stores call it.
func (o ScanOptions) Prepare() (ScanOptions, error) {
	if o.Limit == 0 {
		o.Limit = 100
	}
	if o.Limit < 1 || o.Limit > MaxPage {
		return ScanOptions{}, invalid("limit %d: 1 to %d works can be on a page", o.Limit, MaxPage)
	}
	return o, o.Filter.Check()
}
