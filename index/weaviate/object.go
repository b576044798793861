package weaviate

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"github.com/go-openapi/strfmt"
	"github.com/google/uuid"
	"github.com/weaviate/weaviate/entities/models"

	"github.com/lexicam/lexicrop/index"
)

// A work is an object without a vector, a photo is one whose vector is the
// direction of the embedding. What is kept of each is its record, which the
// server does not look into; the properties beside it are what it chooses and
// orders by. A photo has those of its work, too: a search takes no detour.
//
// Weaviate does not check what it reads, and anybody may change an object; so
// every one has a sum (CRC-32C) of what it says and of whom it says it.

// object is what the server returns of one; what was not asked for is zero.
type object struct {
	Kind       string   // kindWork or kindPhoto
	Key        string   // of the work
	Terms      []string // digests of what equals what
	Year       int      // of the work
	Hash       string   // digest of the photo's
	Order      int      // of the photos, see orderOf
	Bytes      int      // of vector and crop
	Record     string   // a workRecord or photoRecord
	Bits       []byte   // the embedding as it was given
	Crop       []byte
	Sum        string // of Record and Bits
	CropSum    string
	Additional struct {
		ID       string
		Distance float64
		Vector   []float32
	} `json:"_additional"`
}

// Fields to ask for.
const (
	placeFields  = "key terms year hash order bytes record sum _additional{id}"
	workFields   = "key terms year record sum"
	photoFields  = "key terms year hash record bits sum _additional{id}"
	cropFields   = " crop cropSum"
	matchFields  = "key record _additional{distance}"
	verifyFields = "kind key terms year hash order bytes record bits sum crop cropSum _additional{id vector}"
)

const (
	kindWork  = "work"
	kindPhoto = "photo"
)

type workRecord struct {
	ID       string         `json:"id"`
	Title    string         `json:"title,omitempty"`
	Artist   string         `json:"artist,omitempty"`
	Year     int            `json:"year,omitempty"`
	Link     string         `json:"link,omitempty"`
	Metadata index.Metadata `json:"metadata,omitempty"`
}

type photoRecord struct {
	Work   string `json:"work"`
	ID     string `json:"id"`
	Hash   string `json:"hash,omitempty"`
	Source string `json:"source,omitempty"`
}

// workObject is the object of a work.
func (c *client) workObject(w *index.Work) (*models.Object, error) {
	record, err := json.Marshal(workRecord(*w))
	if err != nil {
		return nil, err
	}
	return &models.Object{
		Class: c.collection,
		ID:    workUUID(w.ID),
		Properties: map[string]any{
			"kind": kindWork, "key": keyOf(w.ID), "terms": termsOf(w), "year": w.Year,
			"record": string(record), "sum": sumOf(record, nil),
		},
	}, nil
}

// photoObject is the object of a photo of a work.
func (c *client) photoObject(w *index.Work, p *index.Photo) (*models.Object, error) {
	record, err := json.Marshal(photoRecord{Work: w.ID, ID: p.ID, Hash: p.Hash, Source: p.Source})
	if err != nil {
		return nil, err
	}
	bits := bitsOf(p.Vector)
	id := photoUUID(w.ID, p.ID)
	properties := map[string]any{
		"kind": kindPhoto, "key": keyOf(w.ID), "terms": termsOf(w), "year": w.Year,
		"order": orderOf(id), "bytes": len(bits) + len(p.Crop),
		"record": string(record), "bits": bits, "sum": sumOf(record, bits),
	}
	if p.Hash != "" {
		properties["hash"] = digestOf(p.Hash)
	}
	if len(p.Crop) > 0 {
		properties["crop"], properties["cropSum"] = p.Crop, sumOf(record, p.Crop)
	}
	return &models.Object{Class: c.collection, ID: id, Vector: index.DirectionOf(p.Vector), Properties: properties}, nil
}

// sizeOf is about how many bytes an object takes in a request.
func sizeOf(o *models.Object) int {
	properties, _ := o.Properties.(map[string]any)
	size := 1000 + 12*len(o.Vector)
	for _, v := range properties {
		switch v := v.(type) {
		case string:
			size += len(v)
		case []byte:
			size += base64.StdEncoding.EncodedLen(len(v))
		case []string:
			size += 36 * len(v)
		}
	}
	return size
}

// work reads the object of a work. Of a damaged one it returns what can be read,
// and an error (Damaged).
func (o *object) work() (index.Work, error) {
	var r workRecord
	err := o.read(&r)
	w := index.Work(r)
	if w.ID == "" {
		w.ID = idOf(o.Key)
	}
	if err != nil {
		return w, damaged(fmt.Errorf("work %q: %w", w.ID, err))
	}
	return w, nil
}

// photo reads the object of a photo of vectors of dimension. Of a damaged one it
// returns what can be read, and an error (Damaged).
func (o *object) photo(dimension int) (work string, p index.Photo, err error) {
	var r photoRecord
	err = o.read(&r)
	p = index.Photo{ID: r.ID, Hash: r.Hash, Source: r.Source, Vector: vectorOf(o.Bits)}
	if len(o.Crop) > 0 {
		p.Crop = o.Crop
	}
	if work = r.Work; work == "" {
		work = idOf(o.Key)
	}
	if err == nil {
		err = index.CheckVector(p.Vector, dimension)
	}
	if err == nil && len(o.Crop) > 0 && o.CropSum != sumOf([]byte(o.Record), o.Crop) {
		err = fmt.Errorf("crop: %w", errSum)
	}
	if err != nil {
		return work, p, damaged(fmt.Errorf("photo %q of work %q: %w", p.ID, work, err))
	}
	return work, p, nil
}

func (o *object) read(record any) error {
	if o.Sum != sumOf([]byte(o.Record), o.Bits) {
		_ = json.Unmarshal([]byte(o.Record), record) // as far as it goes
		return errSum
	}
	return json.Unmarshal([]byte(o.Record), record)
}

var errSum = errors.New("it is not what was written: its checksum differs")

func damaged(err error) error { return &index.Error{Kind: index.Damaged, Err: err} }

// keyOf is a work's id as text that the server orders by bytes.
func keyOf(work string) string { return hex.EncodeToString([]byte(work)) }

func idOf(key string) string {
	id, _ := hex.DecodeString(key)
	return string(id)
}

// namespace tells these UUIDs from all others.
var namespace = uuid.MustParse("5c3c1ff6-9b0a-4d0c-8f5e-6c0f4e0c8a11")

func workUUID(work string) strfmt.UUID { return uuidOf(work) }

// Ids have no control characters.
func photoUUID(work, photo string) strfmt.UUID { return uuidOf(work + "\x00" + photo) }

func uuidOf(name string) strfmt.UUID {
	return strfmt.UUID(uuid.NewSHA1(namespace, []byte(name)).String())
}

// orderOf is a number by which the server can order photos and read on after
// one: the first 31 bits of the id, as GraphQL has no larger ones. Some share it.
func orderOf(id strfmt.UUID) int {
	u := uuid.MustParse(id.String())
	return int(binary.BigEndian.Uint32(u[:]) >> 1)
}

// digestOf stands for a text that may be long, or have quotes.
func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:16])
}

func bitsOf(v []float32) []byte {
	bits := make([]byte, 0, 4*len(v))
	for _, x := range v {
		bits = binary.LittleEndian.AppendUint32(bits, math.Float32bits(x))
	}
	return bits
}

func vectorOf(bits []byte) []float32 {
	v := make([]float32, len(bits)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(bits[4*i:]))
	}
	return v
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sumOf(record, data []byte) string {
	sum := crc32.Checksum(binary.LittleEndian.AppendUint64(nil, uint64(len(record))), castagnoli)
	return fmt.Sprintf("%08x", crc32.Update(crc32.Update(sum, castagnoli, record), castagnoli, data))
}

// sameTerms says whether an object has the terms and year of a work.
func (o *object) sameTerms(w *index.Work) bool {
	return o.Year == w.Year && slices.Equal(o.Terms, termsOf(w))
}

// place is where the object of a photo is.
func (o *object) place() place {
	var r photoRecord
	_ = json.Unmarshal([]byte(o.Record), &r) // Verify lists what is damaged
	return place{ref: index.PhotoRef{Work: idOf(o.Key), Photo: r.ID}, uuid: o.Additional.ID, bytes: o.Bytes, object: *o}
}
