package sqlite

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/lexicam/lexicrop/index"
)

// SQLite notices damage to its structure, not to the content of a row; so every
// row has a sum (CRC-32C) of what it says and of whom it says it.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// sumOf tells values apart from others that are the same one after another.
func sumOf[T string | []byte](owner int64, texts []string, data T) int64 {
	buffer := make([]byte, 0, 256)
	buffer = binary.LittleEndian.AppendUint64(buffer, uint64(owner))
	for _, t := range texts {
		buffer = binary.LittleEndian.AppendUint32(buffer, uint32(len(t)))
		buffer = append(buffer, t...)
	}
	sum := crc32.Update(0, castagnoli, buffer)
	return int64(crc32.Update(sum, castagnoli, []byte(data)))
}

func sumOfWork(w *index.Work, metadata string) int64 {
	return sumOf(int64(w.Year), []string{w.ID, w.Title, w.Artist, w.Link}, metadata)
}

func sumOfPhoto(workKey int64, id, hash, source string, vector []byte) int64 {
	return sumOf(workKey, []string{id, hash, source}, vector)
}

func sumOfCrop(photoKey int64, jpeg []byte) int64 { return sumOf(photoKey, nil, jpeg) }

var errSum = errors.New("it is not what was written: its checksum differs")

func encodeMetadata(m index.Metadata) (string, error) {
	if len(m) == 0 {
		return "", nil
	}
	text, err := json.Marshal(m)
	return string(text), err
}

func decodeMetadata(text string) (index.Metadata, error) {
	if text == "" {
		return nil, nil
	}
	var m index.Metadata
	err := m.UnmarshalJSON([]byte(text))
	return m, err
}

func encodeVector(v []float32) []byte {
	data := make([]byte, 0, 4*len(v))
	for _, x := range v {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(x))
	}
	return data
}

// decodeVector reads a vector of this dimension that can be searched.
func decodeVector(data []byte, dimension int) ([]float32, error) {
	if len(data) != 4*dimension {
		return nil, fmt.Errorf("its vector takes %d bytes, not %d", len(data), 4*dimension)
	}
	v := make([]float32, dimension)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return v, index.CheckVector(v, dimension)
}
