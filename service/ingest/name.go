package ingest

import (
	"path"
	"regexp"
	"strconv"
	"strings"
)

// readName reads a file's name as people call pictures of works: "Artist -
// Title (Year).jpg", where artist and year may be missing and underscores may
// stand for spaces.
func readName(file string) (artist, title string, year int) {
	name := strings.TrimSuffix(file, path.Ext(file))
	if !strings.Contains(name, " ") {
		name = strings.ReplaceAll(name, "_", " ")
	}
	name = strings.Join(strings.Fields(name), " ")
	if m := yearAtEnd.FindStringSubmatch(name); m != nil {
		year, _ = strconv.Atoi(m[2]) // three or four digits
		name = m[1]
	}
	if before, after, ok := strings.Cut(name, " - "); ok {
		artist, name = before, after
	}
	return artist, name, year
}

// yearAtEnd takes "Title (1872)" and "Title, 1872". Without a mark of its own a
// number is as likely the picture's.
var yearAtEnd = regexp.MustCompile(`^(.+?)(?: \(|, )(\d{3,4})\)?$`)
