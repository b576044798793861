package exchange

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/lexicam/lexicrop/index"
)

// ExportOptions say what is written.
type ExportOptions struct {
	Filter index.Filter
	// Crops writes the stored crops, too; without them, a catalogue made of the export has none.
	Crops bool
}

// Export writes the catalogue to w, by ascending id of the works, and counts what it wrote. It holds no
// more than a page of it in memory.
func Export(ctx context.Context, store index.Store, w io.Writer, o ExportOptions) (index.Counts, error) {
	var n index.Counts
	info, err := store.Info(ctx)
	if err != nil {
		return n, fmt.Errorf("exporting: %w", err)
	}
	out := bufio.NewWriterSize(w, 64<<10)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	if err := lines.Encode(header{version, space(info.Space)}); err != nil {
		return n, fmt.Errorf("exporting: %w", err)
	}
	for e, err := range index.All(ctx, store, index.ScanOptions{Filter: o.Filter, Crops: o.Crops}) {
		if err == nil {
			err = lines.Encode(lineOf(e))
		}
		if err != nil {
			return n, fmt.Errorf("exporting, after %d works: %w", n.Works, err)
		}
		n.Works++
		n.Photos += len(e.Photos)
	}
	if err := out.Flush(); err != nil {
		return n, fmt.Errorf("exporting: %w", err)
	}
	return n, nil
}
