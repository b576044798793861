package rest

import (
	"bytes"
	"context"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/lexicam/lexicrop/config"
)

// browser starts a Chromium and opens the page in it; nothing may be loaded from anywhere else.
func browser(t *testing.T, url string) context.Context {
	t.Helper()
	if os.Getenv("LEXICROP_SKIP_BROWSER") != "" {
		t.Skip("LEXICROP_SKIP_BROWSER is set")
	}
	var program string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Fatal("there is no Chromium here: .ci/chromium installs one, LEXICROP_SKIP_BROWSER=1 leaves this test out")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	if err == nil {
		err = chromedp.Listen(ctx, func(event any) {
			e, ok := event.(*network.EventRequestWillBeSent)
			if ok && !strings.HasPrefix(e.Request.URL, url) && !strings.HasPrefix(e.Request.URL, "data:") && !strings.HasPrefix(e.Request.URL, "blob:") {
				t.Errorf("the page loads %s", e.Request.URL)
			}
		})
	}
	if err == nil {
		err = chromedp.Do(ctx, chromedp.EmulateViewport(1100, 1300), chromedp.Navigate(url+"/"))
	}
	if err != nil {
		t.Fatalf("opening the page: %v", err)
	}
	return ctx
}

// choose gives the page a photo and returns what it says of it in the end.
func choose(ctx context.Context, t *testing.T, photo string) string {
	t.Helper()
	err := chromedp.Do(ctx, chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{photo}))
	if err != nil {
		t.Fatal(err)
	}
	return says(ctx, t, "found", ":")
}

// says waits until the page's message has one of the words.
func says(ctx context.Context, t *testing.T, words ...string) string {
	t.Helper()
	for {
		text := see[string](ctx, t, `document.querySelector("#message").textContent`)
		for _, w := range words {
			if strings.Contains(text, w) {
				return text
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the page says %q", text)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// see returns the value of an expression in the page.
func see[T any](ctx context.Context, t *testing.T, expression string) T {
	t.Helper()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return value
}

func writePhoto(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestThePageShowsWhatIsFound(t *testing.T) {
	s, _ := searchOnFake(t, config.Default(), main)
	threeWorks(t, s)
	ctx := browser(t, s.URL)
	said := choose(ctx, t, writePhoto(t, "photo.jpg", plain(t, 640, 480, green)))
	works := see[string](ctx, t, `document.querySelector("#works").innerText`)
	matches := see[string](ctx, t, `document.querySelector("#matches").innerText`)
	crop := see[[]int](ctx, t, `(async () => { const i = document.querySelector("#crop"); await i.decode(); return [i.naturalWidth, i.naturalHeight] })()`)
	thumbnails := see[[]int](ctx, t, `Promise.all([...document.querySelectorAll("#matches img")].map(async (i) => { await i.decode(); return i.naturalWidth }))`)
	screen, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	if said != "One work was found." || !strings.Contains(works, "1 painting") {
		t.Errorf("says %q of %q", said, works)
	}
	if !strings.HasPrefix(strings.TrimSpace(matches), "In green") {
		t.Errorf("found in the catalogue: %q", matches)
	}
	answer := s.post(t, "/v1/crop?output=image", "", plain(t, 640, 480, green))
	size, _, err := image.DecodeConfig(bytes.NewReader(answer.body))
	if err != nil || len(crop) != 2 || crop[0] != size.Width || crop[1] != size.Height {
		t.Errorf("the crop shown is %v, that of the API %dx%d (%v)", crop, size.Width, size.Height, err)
	}
	if len(thumbnails) != 3 {
		t.Errorf("pictures of matches: %v", thumbnails)
	}
	if picture, err := png.Decode(bytes.NewReader(screen)); err != nil || picture.Bounds().Dx() != 1100 {
		t.Errorf("the screen: %v", err)
	}
	if name := os.Getenv("LEXICROP_SCREENSHOT"); name != "" { // to look at
		if err := os.WriteFile(name, screen, 0o600); err != nil {
			t.Error(err)
		}
	}
}

func TestThePageSaysWhatIsWrong(t *testing.T) {
	s, _ := onFake(t, config.Default(), main)
	ctx := browser(t, s.URL)
	said := choose(ctx, t, writePhoto(t, "photo.jpg", []byte("no picture at all")))
	result := see[bool](ctx, t, `document.querySelector("#result").hidden`)
	if !strings.Contains(said, "This is not a picture: ") || !result {
		t.Errorf("says %q; the result is hidden: %v", said, result)
	}
	// A photo that can be read, on a server without a catalogue.
	if err := chromedp.Do(ctx, chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{writePhoto(t, "photo.png", picturePNG(t))})); err != nil {
		t.Fatal(err)
	}
	later := says(ctx, t, "found")
	if catalogue := see[bool](ctx, t, `document.querySelector("#catalogue").hidden`); later != "One work was found." || !catalogue {
		t.Errorf("says %q; the catalogue is hidden: %v", later, catalogue)
	}
}

// Where keys are asked for, the page asks the person for one and goes on with the photo.
func TestThePageAsksForAKey(t *testing.T) {
	cfg := config.Default()
	cfg.Auth.Keys = config.Secrets{"let-me-in-let-me-in"}
	s, _ := onFake(t, cfg, main)
	ctx := browser(t, s.URL)
	if said := choose(ctx, t, writePhoto(t, "photo.png", picturePNG(t))); strings.Contains(said, "found") {
		t.Errorf("without a key it says %q", said)
	}
	secret := chromedp.CSS("#secret")
	if err := chromedp.Do(ctx, chromedp.WaitVisible(secret), chromedp.SendKeys(secret, "let-me-in-let-me-in\r")); err != nil {
		t.Fatal(err)
	}
	if said := says(ctx, t, "found"); said != "One work was found." {
		t.Errorf("with the key it says %q", said)
	}
}

func picturePNG(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 320, 240))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
