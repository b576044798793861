package ingest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lexicam/lexicrop/index"
)

// write makes files in a new folder; their content does not matter where it is no table.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, text := range files {
		path := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// read returns all records of a source, with paths relative to folder, and the
// errors as "WHERE: WHAT".
func read(t *testing.T, folder, name string) (records []Record, faults []string) {
	t.Helper()
	source, err := Open(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	short := func(path string) string {
		return filepath.ToSlash(strings.TrimPrefix(path, folder+string(filepath.Separator)))
	}
	for r, err := range source.Records() {
		if err != nil {
			faults = append(faults, fmt.Sprintf("%s: %v", short(r.Where), err))
			continue
		}
		r.File, r.Where = short(r.File), short(r.Where)
		records = append(records, r)
	}
	return records, faults
}

func TestFolder(t *testing.T) {
	folder := write(t, map[string]string{
		"b/Claude Monet - Impression, soleil levant (1872).JPG": "",
		"b/notes.txt":         "",
		"b/.hidden.jpg":       "",
		".trash/old.jpg":      "",
		"a.png":               "",
		"c.jpg":               "",
		"c.json":              `{"id": 17, "Title": "The Sea", "year": "1875", "museum": "Louvre", "metadata": {"room": 3}}`,
		"d.jpg":               "",
		"d.jpg.json":          `{"artist": "Sisley"}`,
		"wrong.jpg":           "",
		"wrong.json":          `{"year": "long ago"}`,
		"wrong2.jpg":          "",
		"wrong2.json":         `[1]`,
		"works-of-others.csv": "x",
	})
	records, faults := read(t, folder, "")
	if err := os.Symlink(filepath.Join(folder, "b"), filepath.Join(folder, "again")); err != nil {
		t.Fatal(err)
	}
	linked, _ := read(t, folder, "again")
	want := []Record{
		{Work: index.Work{ID: "a", Title: "a"}, FromName: true, KeepWork: true, File: "a.png", Photo: "a.png", Source: "a.png", Where: "a.png"},
		{
			Work:     index.Work{ID: "b/Claude Monet - Impression, soleil levant (1872)", Title: "Impression, soleil levant", Artist: "Claude Monet", Year: 1872},
			FromName: true, KeepWork: true, Where: "b/Claude Monet - Impression, soleil levant (1872).JPG", File: "b/Claude Monet - Impression, soleil levant (1872).JPG",
			Photo: "b/Claude Monet - Impression, soleil levant (1872).JPG", Source: "b/Claude Monet - Impression, soleil levant (1872).JPG",
		},
		{
			Work: index.Work{ID: "17", Title: "The Sea", Year: 1875, Metadata: index.Metadata{"museum": "Louvre", "room": json.Number("3")}},
			File: "c.jpg", Photo: "c.jpg", Source: "c.jpg", Where: "c.jpg",
		},
		{Work: index.Work{ID: "d", Artist: "Sisley"}, FromName: true, File: "d.jpg", Photo: "d.jpg", Source: "d.jpg", Where: "d.jpg"},
	}
	if diff := cmp.Diff(want, records); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	if len(faults) != 2 || !strings.Contains(faults[0], `wrong.jpg: year "long ago"`) || !strings.Contains(faults[1], "wrong2.json") {
		t.Errorf("faults: %q", faults)
	}
	if len(linked) != 1 || linked[0].Work.Artist != "Claude Monet" {
		t.Errorf("by a link to the folder: %+v", linked)
	}
}

// A table in the folder says more of its pictures; the others are there as well.
func TestFolderWithTable(t *testing.T) {
	folder := write(t, map[string]string{
		"works.csv":  "id,file,title\nm1,deep/a.jpg,First\nm2,,Without a picture\n",
		"deep/a.jpg": "", "b.jpg": "",
	})
	records, faults := read(t, folder, "")
	want := []Record{
		{Work: index.Work{ID: "m1", Title: "First"}, File: "deep/a.jpg", Photo: "deep/a.jpg", Source: "deep/a.jpg", Where: "works.csv:2"},
		{Work: index.Work{ID: "m2", Title: "Without a picture"}, Where: "works.csv:3"},
		{Work: index.Work{ID: "b", Title: "b"}, FromName: true, KeepWork: true, File: "b.jpg", Photo: "b.jpg", Source: "b.jpg", Where: "b.jpg"},
	}
	if diff := cmp.Diff(want, records); diff != "" || len(faults) > 0 {
		t.Errorf("faults %q, records (-want +got):\n%s", faults, diff)
	}
}

func TestTable(t *testing.T) {
	monet := index.Work{ID: "w1", Title: "Impression", Artist: "Monet; Claude", Year: 1872, Link: "https://example.org/1", Metadata: index.Metadata{"museum": "Marmottan"}}
	full := Record{Work: monet, File: "p/a.jpg", Photo: "p/a.jpg", Source: "p/a.jpg", Where: "t.csv:2"}
	tests := []struct {
		name, text string
		want       []Record
		faults     []string
	}{
		{"comma", "file,ID,Title,artist,year,link,museum\np/a.jpg,w1,Impression,Monet; Claude,1872,https://example.org/1,Marmottan\n", []Record{full}, nil},
		{"semicolon, byte order mark, quotes", "\xef\xbb\xbf\"file\";id;title;artist;year;link;metadata.museum;\r\np/a.jpg;w1;Impression;\"Monet; Claude\";1872;https://example.org/1;Marmottan;\r\n", []Record{full}, nil},
		{"tab", "file\tid\ttitle\tartist\tyear\tlink\tmuseum\np/a.jpg\tw1\t Impression \tMonet; Claude\t1872\thttps://example.org/1\tMarmottan", []Record{full}, nil},
		{"a second photo, and its name", "id,file,title,photo\nw,a.jpg,T,\nw,b.jpg,,front\n", []Record{
			{Work: index.Work{ID: "w", Title: "T"}, File: "a.jpg", Photo: "a.jpg", Source: "a.jpg", Where: "t.csv:2"},
			{Work: index.Work{ID: "w"}, KeepWork: true, File: "b.jpg", Photo: "front", Source: "b.jpg", Where: "t.csv:3"},
		}, nil},
		{
			"bad rows end nothing", "id,file,year\nw,a.jpg\n,,\nw,\"a\" b.jpg,1\nw,b.jpg,c. 1503\nw,c\xff.jpg,\nw,c.jpg,\n",
			[]Record{{Work: index.Work{ID: "w"}, KeepWork: true, File: "c.jpg", Photo: "c.jpg", Source: "c.jpg", Where: "t.csv:7"}},
			[]string{"t.csv:2: 2 values for 3 columns", "t.csv:3: neither id nor file", `t.csv:4: extraneous or missing " in quoted-field`, `t.csv:5: year "c. 1503"`, "t.csv:6: file: it is not UTF-8"},
		},
		{"nothing but columns", "id,file", nil, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			records, faults := read(t, write(t, map[string]string{"t.csv": test.text}), "t.csv")
			if diff := cmp.Diff(test.want, records); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			expectFaults(t, test.faults, faults)
		})
	}
}

func expectFaults(t *testing.T, want, got []string) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("faults: %q, want %q", got, want)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("fault %q, want %q", got[i], want[i])
		}
	}
}

func TestLines(t *testing.T) {
	text := `{"id":"w1","title":"Impression","year":1872,"file":"a.jpg","metadata":{"tags":["x"]},"museum":"Marmottan"}

{"id":"w2","title":"Two photos","photos":["b/1.jpg",{"id":"back","file":"b/2.jpg"}]}
{"id":"w3"}
{"id":"w4","title":3.5e
{"id":["w5"]}
{"title":"no id"}
{"id":"w6","photos":["a.jpg"],"file":"b.jpg"}
{"id":"w7","photos":{"file":"b.jpg"}}
{"id":"w8","photos":[1]}
{"photos":["a.jpg","b.jpg"]}
[]
{"id":"w9"}{"id":"w10"}
{"file":"/elsewhere/c.jpg"}`
	records, faults := read(t, write(t, map[string]string{"t.ndjson": text}), "t.ndjson")
	two := index.Work{ID: "w2", Title: "Two photos"}
	want := []Record{
		{
			Work: index.Work{ID: "w1", Title: "Impression", Year: 1872, Metadata: index.Metadata{"tags": []any{"x"}, "museum": "Marmottan"}},
			File: "a.jpg", Photo: "a.jpg", Source: "a.jpg", Where: "t.ndjson:1",
		},
		{Work: two, File: "b/1.jpg", Photo: "b/1.jpg", Source: "b/1.jpg", Where: "t.ndjson:3"},
		{Work: two, File: "b/2.jpg", Photo: "back", Source: "b/2.jpg", Where: "t.ndjson:3"},
		{Work: index.Work{ID: "w3"}, Where: "t.ndjson:4"},
		{Work: index.Work{ID: "/elsewhere/c", Title: "c"}, FromName: true, KeepWork: true, File: "/elsewhere/c.jpg", Photo: "/elsewhere/c.jpg", Source: "/elsewhere/c.jpg", Where: "t.ndjson:14"},
	}
	if diff := cmp.Diff(want, records); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	expectFaults(t, []string{
		"t.ndjson:5: ", "t.ndjson:6: id: it must be a text", "t.ndjson:7: neither id nor file", "t.ndjson:8: file and photos", "t.ndjson:9: photos: it must be a list",
		"t.ndjson:10: photos: element 1", "t.ndjson:11: photos: a work of several", "t.ndjson:12: ", "t.ndjson:13: there is more than one",
	}, faults)
}

func TestOpenSaysWhatItCannotRead(t *testing.T) {
	folder := write(t, map[string]string{
		"a.jpg": "", "empty.csv": "", "other.csv": "name,picture\n", "twice.csv": "id,ID\n",
		"two/works.csv": "id\n", "two/works.ndjson": "",
	})
	for name, want := range map[string]string{
		"missing": "no such file", "a.jpg": "a folder, a table", "empty.csv": "name the columns",
		"other.csv": "neither a column file nor a column id; its columns are name, picture", "twice.csv": "another one called id", "two": "more than one",
	} {
		if _, err := Open(filepath.Join(folder, name)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// A reader may stop at any record.
func TestRecordsCanBeLeftEarly(t *testing.T) {
	folder := write(t, map[string]string{
		"works.csv": "id\n1\n2\n", "t.ndjson": "{\"id\":1}\n{\"id\":2}\n", "a.jpg": "", "b.jpg": "",
	})
	for _, name := range []string{"", "works.csv", "t.ndjson"} {
		for n := 1; n <= 2; n++ {
			source, err := Open(filepath.Join(folder, name))
			if err != nil {
				t.Fatal(err)
			}
			got := 0
			for _, err := range source.Records() {
				if got++; got == n || err != nil {
					break
				}
			}
			if got != n {
				t.Errorf("%s: %d records, want %d", name, got, n)
			}
		}
	}
}

func TestReadName(t *testing.T) {
	for _, test := range []struct {
		file, artist, title string
		year                int
	}{
		{"a.jpg", "", "a", 0},
		{"albrecht_durer_0003.jpg", "", "albrecht durer 0003", 0},
		{"Claude_Monet_-_Impression,_soleil_levant_(1872).jpg", "Claude Monet", "Impression, soleil levant", 1872},
		{"Claude Monet - Impression, 1872.jpg", "Claude Monet", "Impression", 1872},
		{"Snow-covered  field - no artist_.png", "Snow-covered field", "no artist_", 0},
		{"1872.jpg", "", "1872", 0},
		{"Madonna (1503-1506).jpg", "", "Madonna (1503-1506)", 0},
		{".jpg", "", "", 0},
	} {
		artist, title, year := readName(test.file)
		if artist != test.artist || title != test.title || year != test.year {
			t.Errorf("%s: %q, %q, %d", test.file, artist, title, year)
		}
	}
}

// FuzzTable: no file makes the reader fail or go on for ever.
func FuzzTable(f *testing.F) {
	for _, seed := range []string{"id,file\n1,a.jpg\n", "\xef\xbb\xbfid;file\n\"1\";\n", "file\n\"\n", "file\n.0", "id\tx\n1\t2\t3\n", "id\r\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) { readsToTheEnd(t, "t.csv", text) })
}

// FuzzLines does the same for lines of JSON.
func FuzzLines(f *testing.F) {
	for _, seed := range []string{`{"id":1}`, `{"file":"a","photos":null,"metadata":{"a":{}}}`, `{"id":"a","photos":[{"file":"x","id":2},"y"]}`, "{}\n\n[]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) { readsToTheEnd(t, "t.ndjson", text) })
}

func readsToTheEnd(t *testing.T, name, text string) {
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := Open(path)
	if err != nil {
		return
	}
	n := 0
	for r, err := range source.Records() {
		if n++; n > len(text)+1 {
			t.Fatal("more records than characters")
		}
		if r.Where == "" || err == nil && r.Work.ID == "" {
			t.Fatalf("%+v, %v", r, err)
		}
	}
}
