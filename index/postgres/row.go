package postgres

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"

	"github.com/lexicam/lexicrop/index"
)

// PostgreSQL checks its pages only where that was switched on, and anybody with
// psql can change a row; so every row has a sum (CRC-32C) of what it says and of
// whom it says it.

const workColumns = "w.id, w.title, w.artist, w.year, w.link, w.metadata::text, w.sum"

// scanWork reads workColumns, and more after them. Of a damaged row it returns
// what can be read, and an error (Damaged).
func scanWork(row pgx.Row, more ...any) (index.Work, error) {
	var w index.Work
	var metadata *string
	var sum int64
	if err := row.Scan(append([]any{&w.ID, &w.Title, &w.Artist, &w.Year, &w.Link, &metadata, &sum}, more...)...); err != nil {
		return w, err
	}
	var err error
	if w.Metadata, err = decodeMetadata(metadata); err != nil {
		return w, damaged(fmt.Errorf("metadata of work %q: %w", w.ID, err))
	}
	if sum != sumOfWork(&w, metadata) {
		return w, damaged(fmt.Errorf("work %q: %w", w.ID, errSum))
	}
	return w, nil
}

const (
	photoColumns        = "p.work, p.id, p.hash, p.source, p.vector, p.sum"
	photoAndCropColumns = photoColumns + ", p.crop, p.crop_sum"
)

// scanPhoto reads photoColumns or photoAndCropColumns, and more after them. Of a
// damaged row it returns what can be read, and an error (Damaged).
func scanPhoto(row pgx.Row, dimension int, crop bool, more ...any) (work string, p index.Photo, err error) {
	var vector pgvector.Vector
	var sum int64
	var cropSum *int64
	into := []any{&work, &p.ID, &p.Hash, &p.Source, &vector, &sum}
	if crop {
		into = append(into, &p.Crop, &cropSum)
	}
	if err := row.Scan(append(into, more...)...); err != nil {
		return work, p, err
	}
	p.Vector = vector.Slice()
	wrong := index.CheckVector(p.Vector, dimension)
	switch {
	case sum != sumOfPhoto(work, &p):
		wrong = errSum
	case crop && (cropSum == nil) != (p.Crop == nil), cropSum != nil && *cropSum != sumOfCrop(work, &p):
		wrong = fmt.Errorf("crop: %w", errSum)
	case wrong == nil:
		return work, p, nil
	}
	return work, p, damaged(fmt.Errorf("photo %q of work %q: %w", p.ID, work, wrong))
}

var errSum = errors.New("it is not what was written: its checksum differs")

func damaged(err error) error { return &index.Error{Kind: index.Damaged, Err: err} }

func sumOfWork(w *index.Work, metadata *string) int64 {
	data := []byte(nil)
	if metadata != nil {
		data = []byte(*metadata)
	}
	return sumOf(uint64(w.Year), data, w.ID, w.Title, w.Artist, w.Link)
}

func sumOfPhoto(work string, p *index.Photo) int64 {
	data := make([]byte, 0, 4*len(p.Vector))
	for _, x := range p.Vector {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	return sumOf(0, data, work, p.ID, p.Hash, p.Source)
}

func sumOfCrop(work string, p *index.Photo) int64 { return sumOf(0, p.Crop, work, p.ID) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumOf tells values apart from others that are the same one after another.
func sumOf(number uint64, data []byte, texts ...string) int64 {
	buffer := binary.LittleEndian.AppendUint64(make([]byte, 0, 256), number)
	for _, t := range texts {
		buffer = binary.LittleEndian.AppendUint32(buffer, uint32(len(t)))
		buffer = append(buffer, t...)
	}
	return int64(crc32.Update(crc32.Update(0, castagnoli, buffer), castagnoli, data))
}

// encodeMetadata is m as JSON, nil for none.
func encodeMetadata(m index.Metadata) (*string, error) {
	if len(m) == 0 {
		return nil, nil
	}
	encoded, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return new(string(encoded)), nil
}

func decodeMetadata(text *string) (index.Metadata, error) {
	if text == nil {
		return nil, nil
	}
	var m index.Metadata
	err := m.UnmarshalJSON([]byte(*text))
	return m, err
}
