package sqlite

import (
	"database/sql"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/lexicam/lexicrop/index"
)

// row stands for a row of the database: a function that scans it.
func row(values ...any) func(...any) error {
	return func(into ...any) error {
		for i, v := range values {
			switch into := into[i].(type) {
			case *string:
				*into = v.(string)
			case *[]byte:
				*into = v.([]byte)
			case *int:
				*into = v.(int)
			case *int64:
				*into = v.(int64)
			case *sql.NullInt64:
				*into = sql.NullInt64{Int64: v.(int64), Valid: true}
			default:
				return fmt.Errorf("column %d is scanned into a %T", i, into)
			}
		}
		return nil
	}
}

// FuzzStoredWork lets the database hold any row: read as it was written, or
// reported as damaged.
func FuzzStoredWork(f *testing.F) {
	f.Add("id", "title", "artist", 1, "link", `{"a":[1,"b"]}`, int64(0))
	f.Add("id", "", "", -1, "", "{", int64(0))
	f.Add("", "\xff", "\x00", 1<<62, "", "", int64(1))
	f.Fuzz(func(t *testing.T, id, title, artist string, year int, link, metadata string, spoil int64) {
		want := index.Work{ID: id, Title: title, Artist: artist, Year: year, Link: link}
		sum := sumOfWork(&want, metadata) + spoil
		got, err := scanWork(row(int64(5), id, title, artist, year, link, metadata, sum))
		var wrong error
		want.Metadata, wrong = decodeMetadata(metadata)
		switch {
		case spoil != 0 || wrong != nil:
			if index.KindOf(err) != index.Damaged || got.key != 5 || got.ID != id {
				t.Fatalf("a damaged row: %+v, %v", got, err)
			}
		case err != nil:
			t.Fatal(err)
		default:
			if diff := cmp.Diff(want, got.Work); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
		}
	})
}

// FuzzStoredPhoto is FuzzStoredWork for photos and their crops.
func FuzzStoredPhoto(f *testing.F) {
	const dimension = 2
	f.Add("1", "hash", "source", []byte{0, 0, 128, 63, 0, 0, 0, 0}, []byte("crop"), int64(0), int64(0))
	f.Add("1", "", "", []byte{0, 0, 128, 127, 0, 0, 0, 0}, []byte("crop"), int64(0), int64(0)) // infinite
	f.Add("1", "", "", []byte{0, 0, 0, 0, 0, 0, 0, 128}, []byte{}, int64(0), int64(0))         // zero
	f.Add("1", "", "", []byte{1}, []byte{}, int64(1), int64(0))
	f.Add("1", "", "", []byte{0, 0, 128, 63, 0, 0, 0, 0}, []byte("crop"), int64(0), int64(1))
	f.Fuzz(func(t *testing.T, id, hash, source string, vector, crop []byte, spoil, spoilCrop int64) {
		sum := sumOfPhoto(7, id, hash, source, vector) + spoil
		got, err := scanPhoto(row(int64(5), int64(7), id, hash, source, vector, sum, crop, sumOfCrop(5, crop)+spoilCrop), dimension, true)
		values, wrong := decodeVector(vector, dimension)
		switch {
		case spoil != 0 || spoilCrop != 0 || wrong != nil:
			if index.KindOf(err) != index.Damaged || got.key != 5 || got.ID != id {
				t.Fatalf("a damaged row: %+v, %v", got, err)
			}
		case err != nil:
			t.Fatal(err)
		default:
			want := index.Photo{ID: id, Hash: hash, Source: source, Vector: values, Crop: crop}
			if diff := cmp.Diff(want, got.Photo, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("(-want +got):\n%s", diff)
			}
			if err := index.CheckVector(got.Vector, dimension); err != nil {
				t.Fatal(err)
			}
		}
	})
}
