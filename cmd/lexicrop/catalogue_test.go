package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/lexicam/lexicrop/api"
	"github.com/lexicam/lexicrop/config"
	"github.com/lexicam/lexicrop/triton/local"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

// user is someone with a folder of pictures, the command, and a real Triton.
type user struct {
	triton  string // its address
	folder  string // the pictures, with broken ones among them
	index   string // the catalogue
	works   map[string]image.Image
	strange map[string]image.Image // works that are in no catalogue
}

const broken, inventedWorks = 2, 8

// another is the fingerprint of another embedder.
const another = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func newUser(t *testing.T) *user {
	t.Helper()
	u := &user{folder: t.TempDir(), index: filepath.Join(t.TempDir(), "catalogue.db")}
	u.works, u.strange = readPictures(t, "testdata/artworks"), readPictures(t, "testdata/strangers")
	for i := range uint64(inventedWorks) {
		u.works[fmt.Sprintf("invented/number %d", i)] = invented(i)
	}
	for id, picture := range u.works {
		u.put(t, id+".jpg", encodeJPEG(t, picture, 92))
	}
	u.put(t, "torn.jpg", encodeJPEG(t, invented(50), 92)[:2000])
	u.put(t, "letter.png", []byte("Dear Claude"))
	u.put(t, "notes.txt", []byte("no picture, and not called like one"))
	u.triton = servingTriton(t)
	return u
}

func readPictures(t testing.TB, folder string) map[string]image.Image {
	t.Helper()
	pictures := map[string]image.Image{}
	files, err := filepath.Glob(filepath.Join(folder, "*.jpg"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no pictures in %s: %v", folder, err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		picture, err := jpeg.Decode(bytes.NewReader(content))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		pictures[strings.TrimSuffix(filepath.Base(file), ".jpg")] = picture
	}
	return pictures
}

func (u *user) put(t *testing.T, name string, content []byte) {
	t.Helper()
	file := filepath.Join(u.folder, name)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// servingTriton is a real one with the models of the repository, and with "another" embedder: the same
// network under another fingerprint.
func servingTriton(t testing.TB) (address string) {
	t.Helper()
	if os.Getenv("LEXICROP_SKIP_TRITON") != "" {
		t.Skip("LEXICROP_SKIP_TRITON is set")
	}
	repository := t.TempDir()
	for to, from := range map[string]string{"detector": "detector", "embedder": "embedder", "another": "embedder"} {
		if err := os.CopyFS(filepath.Join(repository, to), os.DirFS("../../modelrepo/models/"+from)); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(repository, "another", "config.pbtxt")
	contract, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := regexp.MustCompile(`("fingerprint" value \{ string_value: )"[0-9a-f]+"`)
	if !fingerprint.Match(contract) {
		t.Fatalf("no fingerprint in %s", contract)
	}
	if err := os.WriteFile(file, fingerprint.ReplaceAll(contract, []byte(`$1"`+another+`"`)), 0o600); err != nil {
		t.Fatal(err)
	}
	server, err := local.Start(t.Context(), local.Options{
		Install: "../../build/triton", Repository: repository, Models: []string{"detector", "embedder", "another"}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Stop(context.WithoutCancel(t.Context())) })
	return server.Address()
}

// run runs a command on the catalogue.
func (u *user) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	return command(t, append(args, "--triton-address", u.triton, "--index-path", u.index)...)
}

// want runs one that succeeds, and prints everything asked for.
func (u *user) want(t *testing.T, printed []string, args ...string) string {
	t.Helper()
	out, err := u.run(t, args...)
	if err != nil {
		t.Fatalf("%v: %v: %s", args, err, out)
	}
	for _, want := range printed {
		if !strings.Contains(out, want) {
			t.Fatalf("%v: printed no %q: %s", args, want, out)
		}
	}
	return out
}

// From a folder of pictures to searches with photos of them, with everything that keeps a catalogue
// between. Each step goes on where the one before it ended.
func TestACatalogueFromAFolderOnARealTriton(t *testing.T) {
	u := newUser(t)
	for _, step := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"nothing is there yet", u.asksTooEarly},
		{"a folder is added", u.addsTheFolder},
		{"the works are found in photos", u.findsWorks},
		{"others are not", u.findsNoStrangers},
		{"a picture twice is one photo", u.addsPicturesTwice},
		{"nearly the same works are listed", u.listsSimilarWorks},
		{"what is exported is imported", u.exportsAndImports},
		{"another embedder", u.rebuilds},
	} {
		if !t.Run(step.name, step.do) {
			return
		}
	}
}

func (u *user) asksTooEarly(t *testing.T) {
	for _, args := range [][]string{
		{"search", scene}, {"index", "verify"}, {"index", "stats"}, {"index", "export"}, {"index", "rebuild"},
	} {
		if out, err := u.run(t, args...); err == nil || !strings.Contains(err.Error(), "`lexicrop index add` makes one") {
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}
	if out, err := u.run(t, "index", "add", t.TempDir()); err == nil || !strings.Contains(err.Error(), "no picture") {
		t.Errorf("an empty folder: %v: %s", err, out)
	}
	if out, err := u.run(t, "index", "add", filepath.Join(u.folder, "missing")); err == nil || !strings.Contains(err.Error(), "missing") {
		t.Errorf("a folder that is not there: %v: %s", err, out)
	}
}

func (u *user) addsTheFolder(t *testing.T) {
	for _, want := range []string{
		fmt.Sprintf("%d added, 0 with new data, 0 unchanged, %d failed", len(u.works), broken),
		fmt.Sprintf("0 added, 0 with new data, %d unchanged, %d failed", len(u.works), broken),
	} {
		out, err := u.run(t, "index", "add", u.folder)
		if err == nil || err.Error() != fmt.Sprintf("%d of %d failed", broken, broken+len(u.works)) {
			t.Errorf("ended with %v", err)
		}
		for _, want := range []string{want, "torn.jpg: corrupt_image", "letter.png: not_an_image"} {
			if !strings.Contains(out, want) {
				t.Fatalf("printed no %q: %s", want, out)
			}
		}
	}
	u.want(t, []string{fmt.Sprintf("works       %d\nphotos      %[1]d\n", len(u.works))}, "index", "stats")
}

// result is what search --json prints of a photo.
type result struct {
	Photo string
	Error string
	api.SearchResult
}

func (u *user) search(t *testing.T, args ...string) []result {
	t.Helper()
	var results []result
	for line := range strings.Lines(u.want(t, nil, append([]string{"search", "--json"}, args...)...)) {
		var r result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		results = append(results, r)
	}
	return results
}

// takePhotos writes photos of each work, and returns the files and of which work each is.
func takePhotos(t *testing.T, works map[string]image.Image, each int) (files []string, ids map[string]string) {
	t.Helper()
	folder, ids := t.TempDir(), map[string]string{}
	for _, id := range sorted(works) {
		for range each {
			file := filepath.Join(folder, fmt.Sprintf("%d.jpg", len(files)))
			if err := os.WriteFile(file, photograph(t, works[id], uint64(len(files))), 0o600); err != nil {
				t.Fatal(err)
			}
			files, ids[file] = append(files, file), id
		}
	}
	return files, ids
}

func sorted(works map[string]image.Image) []string { return slices.Sorted(maps.Keys(works)) }

func (u *user) findsWorks(t *testing.T) {
	files, ids := takePhotos(t, u.works, 1)
	sheet := filepath.Join(t.TempDir(), "sheet.png")
	results := u.search(t, append(files, "--sheet", sheet, "--limit", "3")...)
	if len(results) != len(files) {
		t.Fatalf("%d results for %d photos", len(results), len(files))
	}
	least := 1.0
	for _, r := range results {
		if len(r.Matches) != 3 || r.Matches[0].Work.ID != ids[r.Photo] {
			t.Errorf("for a photo of %q: %+v", ids[r.Photo], r.Matches)
			continue
		}
		least = min(least, r.Matches[0].Similarity)
		if r.Matches[0].Similarity < config.SuggestedThreshold {
			t.Errorf("a photo of %q falls under the threshold of %v: %v", ids[r.Photo], config.SuggestedThreshold, r.Matches[0].Similarity)
		}
	}
	t.Logf("the least similarity of a photo with its work is %.3f", least)
	size := image.Pt(sheetPhoto+2*sheetMargin+3*(sheetWork+sheetMargin), len(files)*(sheetPhoto+2*sheetMargin))
	if got := pictureSize(t, sheet); got != size {
		t.Errorf("the sheet is %v, want %v", got, size)
	}
	// The name of the file tells what people see.
	u.want(t, []string{"similarity", "Bacchus", "Caravaggio", "1598"}, "search", "--whole", "testdata/artworks/Caravaggio - Bacchus (1598).jpg")
}

func (u *user) findsNoStrangers(t *testing.T) {
	files, ids := takePhotos(t, u.strange, 3)
	most := -1.0
	for _, r := range u.search(t, append(files, "--limit", "1")...) {
		if r.Error != "" || len(r.Matches) != 1 { // without a threshold there is always a work
			t.Fatalf("%+v", r)
		}
		most = max(most, r.Matches[0].Similarity)
		if r.Matches[0].Similarity >= config.SuggestedThreshold {
			t.Errorf("a photo of %q, which is not in the catalogue, reaches %v with %q", ids[r.Photo], r.Matches[0].Similarity, r.Matches[0].Work.ID)
		}
	}
	t.Logf("the largest similarity of a photo of a work that is not there is %.3f", most)
	u.want(t, []string{"nothing found"}, "search", files[0], "--search-threshold", fmt.Sprint(config.SuggestedThreshold))
}

func (u *user) addsPicturesTwice(t *testing.T) {
	again := t.TempDir()
	for name, id := range map[string]string{"a copy.jpg": sorted(u.works)[0], "other/name.jpg": sorted(u.works)[1]} {
		content, err := os.ReadFile(filepath.Join(u.folder, id+".jpg"))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(again, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(again, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	u.want(t, []string{"0 added, 0 with new data, 2 unchanged, 0 failed"}, "index", "add", again)
	// As a photo of its work under another name, it is still the same photo.
	table := filepath.Join(again, "works.ndjson")
	line, err := json.Marshal(map[string]string{"id": sorted(u.works)[0], "file": "a copy.jpg", "photo": "other name"})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(table, line, 0o600); err != nil {
		t.Fatal(err)
	}
	u.want(t, []string{"0 added, 0 with new data, 1 unchanged, 0 failed"}, "index", "add", table)
	u.want(t, []string{fmt.Sprintf("works       %d\nphotos      %[1]d\n", len(u.works))}, "index", "stats")
}

func (u *user) listsSimilarWorks(t *testing.T) {
	u.want(t, []string{fmt.Sprintf("%d works with %[1]d photos were read, 0 damages, 0 pairs of works look the same", len(u.works))}, "index", "verify")
	const id = "Caravaggio - Bacchus (1598)"
	copied := t.TempDir() // of lower quality, with its margin cut off
	inner := u.works[id].Bounds().Inset(8)
	cut := image.NewRGBA(image.Rectangle{Max: inner.Size()})
	draw.Draw(cut, cut.Bounds(), u.works[id], inner.Min, draw.Src)
	if err := os.WriteFile(filepath.Join(copied, "After Caravaggio.jpg"), encodeJPEG(t, cut, 40), 0o600); err != nil {
		t.Fatal(err)
	}
	u.want(t, []string{"1 added"}, "index", "add", copied)
	u.want(t, []string{
		"After Caravaggio (photo After Caravaggio.jpg)  and  " + id, ", 0 damages, 1 pairs of works look the same",
	}, "index", "verify")
	u.want(t, []string{" 0 pairs"}, "index", "verify", "--duplicates", "1")
}

func (u *user) exportsAndImports(t *testing.T) {
	folder := t.TempDir()
	first, second := filepath.Join(folder, "first.ndjson"), filepath.Join(folder, "second.ndjson")
	u.want(t, []string{fmt.Sprintf("%d works", len(u.works)+1)}, "index", "export", first)
	copied := *u
	copied.index = filepath.Join(folder, "copy.db")
	copied.want(t, []string{"0 lines failed"}, "index", "import", first)
	copied.want(t, nil, "index", "export", second)
	a, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(second)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a, b) || len(a) < 100_000 {
		t.Errorf("an export of %d bytes is imported, and exported as %d other ones", len(a), len(b))
	}
	if out := u.want(t, nil, "index", "export"); out != string(a) {
		t.Errorf("to the standard output go %d bytes", len(out))
	}
}

func (u *user) rebuilds(t *testing.T) {
	file := filepath.Join(t.TempDir(), "photo.jpg")
	const id = "Amedeo Modigliani - Alice (1918)"
	if err := os.WriteFile(file, photograph(t, u.works[id], 7), 0o600); err != nil {
		t.Fatal(err)
	}
	other := []string{"--models-embedder-name", "another"}
	out, err := u.run(t, append([]string{"search", file}, other...)...)
	if err == nil || !strings.Contains(err.Error(), `fingerprint "`+another) || !strings.Contains(err.Error(), "`lexicrop index rebuild`") {
		t.Fatalf("vectors of another embedder: %v: %s", err, out)
	}
	u.want(t, []string{fmt.Sprintf("%d added, ", len(u.works)+1), `holds vectors of "lexicrop-artwork" (fingerprint "` + another}, append([]string{"index", "rebuild"}, other...)...)
	u.want(t, []string{"already"}, append([]string{"index", "rebuild"}, other...)...)
	results := u.search(t, append([]string{file}, other...)...)
	if len(results[0].Matches) == 0 || results[0].Matches[0].Work.ID != id {
		t.Errorf("found by the other embedder: %+v", results)
	}
	if _, err := u.run(t, "search", file); err == nil || !strings.Contains(err.Error(), `fingerprint "`+another) {
		t.Errorf("the first embedder can still search: %v", err)
	}
	if left, err := filepath.Glob(u.index + ".rebuild*"); err != nil || len(left) > 0 {
		t.Errorf("rebuilding has left %v behind, %v", left, err)
	}
}

// docs/catalogue.md names the values that the tests hold against the shipped embedder.
func TestTheDocumentedSimilarities(t *testing.T) {
	text, err := os.ReadFile("../../docs/catalogue.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{fmt.Sprintf("threshold: %v\n", config.SuggestedThreshold), fmt.Sprintf("`--duplicates` (%v)", config.SimilarWorks)} {
		if !strings.Contains(string(text), want) {
			t.Errorf("docs/catalogue.md does not say %q", want)
		}
	}
}

// A photo that fails stops no other, the table stays readable, and the command fails at the end.
func TestSearchGoesOnAfterABadPhoto(t *testing.T) {
	fake := tritontest.New(t, tritontest.Detector("detector"), tritontest.Embedder("embedder"))
	u := &user{triton: fake.Address(), index: filepath.Join(t.TempDir(), "catalogue.db"), folder: t.TempDir()}
	u.put(t, "work.jpg", encodeJPEG(t, invented(1), 90))
	u.want(t, []string{"1 added"}, "index", "add", u.folder)
	u.put(t, "bad.jpg", []byte("no picture"))
	out, err := u.run(t, "search", filepath.Join(u.folder, "bad.jpg"), "missing.jpg", filepath.Join(u.folder, "work.jpg"))
	if err == nil || !strings.Contains(err.Error(), "2 of 3 photos failed") {
		t.Errorf("ended with %v", err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 6 || !strings.Contains(lines[3], "1.000") || !strings.Contains(lines[4], "not_an_image") || !strings.Contains(lines[5], "no such file") {
		t.Errorf("printed %s", out)
	}
	if _, err := u.run(t, "search", scene, "--sheet", "sheet.gif"); err == nil || !strings.Contains(err.Error(), "must end in") {
		t.Errorf("a sheet of another format: %v", err)
	}
}
