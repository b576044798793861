package config

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Update is what Watch has seen.
type Update struct {
	// Config is the configuration as it is now; nil when Err is not.
	Config *Config
	// Err says why it cannot be used: what was in force stays so.
	Err error
	// Asked is that somebody wanted it to be read again, whether it has changed or not.
	Asked bool
}

const (
	// settle is how long a file must rest before it is read: editors and the kubelet
	// make several steps of one change.
	settle = 200 * time.Millisecond
	// lookEvery is how often the file is read without a sign of change. Some
	// file systems give none.
	lookEvery = 10 * time.Second
)

// Watch calls changed whenever the content of the configuration file has become
// another, and whenever asked receives; it returns when ctx ends. It follows a
// file that is replaced and the links of a Kubernetes ConfigMap. Environment and
// flags are what they were, and the file is that of c, which was loaded by o;
// where none was read only asked counts.
func Watch(ctx context.Context, c *Config, o Options, asked <-chan os.Signal, changed func(Update)) {
	o.File = c.File
	w := &watcher{options: o, loaded: c, changed: changed}
	if o.File != "" {
		w.files, _ = fsnotify.NewWatcher() // without it there are the regular looks
	}
	defer w.close()
	rest := time.NewTimer(0)
	regularly := time.NewTicker(lookEvery)
	defer regularly.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
			w.load(true)
		case event := <-w.events():
			if w.concerns(event) {
				rest.Reset(settle)
			}
		case <-w.errors(): //nolint:errcheck // such as too many events: the regular looks see to it
		case <-rest.C:
			w.look()
		case <-regularly.C:
			w.look()
		}
	}
}

type watcher struct {
	options Options
	changed func(Update)
	files   *fsnotify.Watcher
	// loaded is the configuration to begin with, until the file was looked at.
	loaded *Config
	// seen is the content that was reported last, failed why there was none.
	seen   []byte
	failed string
	// target is the file behind all links.
	target string
}

func (w *watcher) events() <-chan fsnotify.Event {
	if w.files == nil {
		return nil
	}
	return w.files.Events
}

func (w *watcher) errors() <-chan error {
	if w.files == nil {
		return nil
	}
	return w.files.Errors
}

func (w *watcher) close() {
	if w.files != nil {
		w.files.Close()
	}
}

// configMapLink is the link by which the kubelet replaces all files of a
// ConfigMap at once.
const configMapLink = "..data"

// concerns says whether an event may be about the file. Other files in its
// folder may change all the time.
func (w *watcher) concerns(event fsnotify.Event) bool {
	name := filepath.Clean(event.Name)
	return name == filepath.Clean(w.options.File) || name == w.target || filepath.Base(name) == configMapLink
}

// follow watches the folder of the file, in which it or a link is replaced, and
// that of the file behind the links.
func (w *watcher) follow() {
	if w.files == nil {
		return
	}
	folders := []string{filepath.Dir(w.options.File)}
	if target, err := filepath.EvalSymlinks(w.options.File); err == nil {
		w.target = target
		folders = append(folders, filepath.Dir(target))
	}
	for _, folder := range folders {
		_ = w.files.Add(folder) // what cannot be watched is looked at regularly
	}
}

// look reports the file where its content is another than that reported last.
func (w *watcher) look() {
	if w.options.File == "" {
		return
	}
	w.follow()
	content, err := os.ReadFile(w.options.File)
	switch {
	case w.loaded != nil:
		w.first(content)
	case err == nil && w.failed == "" && bytes.Equal(content, w.seen):
	case err != nil && err.Error() == w.failed:
	default:
		w.load(false)
	}
}

// first reports the file where it says something else than what was loaded a
// while ago.
func (w *watcher) first(content []byte) {
	now, err := Load(w.options)
	if err != nil || len(Differences(w.loaded, now)) > 0 {
		w.load(false)
	}
	w.seen, w.loaded = content, nil
}

// load reads everything anew and reports it.
func (w *watcher) load(asked bool) {
	update := Update{Asked: asked}
	w.failed = ""
	if w.options.File != "" {
		content, err := os.ReadFile(w.options.File)
		if w.seen = content; err != nil {
			w.failed = err.Error()
		}
	}
	update.Config, update.Err = Load(w.options)
	w.changed(update)
}

// Differences lists the keys whose values are not the same in two
// configurations, in the order of the file.
func Differences(a, b *Config) []string {
	var keys []string
	for _, l := range leaves() {
		if !reflect.DeepEqual(l.of(a).Interface(), l.of(b).Interface()) {
			keys = append(keys, l.key)
		}
	}
	return keys
}
