package onnx

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// wire reads protobuf's wire format from a stream.
type wire struct {
	in *bufio.Reader
	at int64 // bytes read so far
}

func newWire(r io.Reader) *wire { return &wire{in: bufio.NewReaderSize(r, 64<<10)} }

// field is one field of a message.
type field struct {
	number protowire.Number
	kind   protowire.Type
	value  int64 // of a varint
	end    int64 // of anything with a length: where it ends
}

// file visits the fields up to the end of the stream.
func (w *wire) file(visit func(field) error) error {
	for {
		if _, err := w.in.Peek(1); errors.Is(err, io.EOF) {
			return nil
		}
		if err := w.field(math.MaxInt64, visit); err != nil {
			return err
		}
	}
}

// message visits the fields of a message that is itself a field.
func (w *wire) message(f field, visit func(field) error) error {
	if f.kind != protowire.BytesType {
		return w.broken()
	}
	for w.at < f.end {
		if err := w.field(f.end, visit); err != nil {
			return err
		}
	}
	return nil
}

// text reads a field that is a string.
func (w *wire) text(f field) (string, error) {
	if f.kind != protowire.BytesType || f.end-w.at > maxText {
		return "", w.broken()
	}
	text := make([]byte, f.end-w.at)
	n, err := io.ReadFull(w.in, text)
	w.at += int64(n)
	return string(text), w.cut(err)
}

// field reads a field that must end before end, has it visited and passes over what the visit left.
func (w *wire) field(end int64, visit func(field) error) error {
	tag, err := w.varint()
	if err != nil {
		return err
	}
	number, kind := protowire.DecodeTag(tag)
	f := field{number: number, kind: kind, end: w.at}
	if !number.IsValid() {
		return w.broken()
	}
	switch kind {
	case protowire.VarintType:
		value, err := w.varint()
		if err != nil {
			return err
		}
		f.value, f.end = int64(value), w.at
	case protowire.Fixed32Type:
		f.end += 4
	case protowire.Fixed64Type:
		f.end += 8
	case protowire.BytesType:
		length, err := w.varint()
		if err != nil {
			return err
		}
		if length > uint64(end) || w.at > end-int64(length) {
			return w.broken()
		}
		f.end = w.at + int64(length)
	default:
		return w.broken()
	}
	if f.end > end {
		return w.broken()
	}
	if err := visit(f); err != nil {
		return err
	}
	return w.skipTo(f.end)
}

func (w *wire) varint() (uint64, error) {
	var value uint64
	for shift := 0; shift < 64; shift += 7 {
		b, err := w.in.ReadByte()
		if err != nil {
			return 0, w.cut(err)
		}
		w.at++
		value |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return value, nil
		}
	}
	return 0, w.broken()
}

func (w *wire) skipTo(end int64) error {
	for w.at < end {
		n, err := w.in.Discard(int(min(end-w.at, 1<<30)))
		w.at += int64(n)
		if err != nil {
			return w.cut(err)
		}
	}
	return nil
}

// cut is err, where the end of the stream came too early.
func (w *wire) cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w, or it is cut off: it ends in the midst of something, after %d bytes", ErrNotONNX, w.at)
	}
	return err
}

func (w *wire) broken() error {
	return fmt.Errorf("%w, or it is broken: what stands at byte %d makes no sense", ErrNotONNX, w.at)
}

// otherFormat says what the file is when its first bytes tell that it is something else.
func (w *wire) otherFormat() string {
	start, _ := w.in.Peek(64) // a shorter file is looked at as it is; an error comes again
	for _, format := range []struct{ magic, is string }{
		{"PK\x03\x04", "a ZIP archive, as PyTorch's .pt and .pth: export the network to ONNX first"},
		{"\x80\x02", "a Python pickle, as PyTorch's old .pt and .pth: export the network to ONNX first"},
		{"\x89HDF", "an HDF5 file, as Keras writes: convert it to ONNX first"},
		{"\x1f\x8b", "a gzip archive: unpack it first"},
		{"version https://git-lfs", "a pointer of Git LFS: `git lfs pull` fetches the file itself"},
		{"<?xml", "XML, as OpenVINO's .xml: export the network to ONNX"},
		{"<", "a page of HTML or XML: was the download refused?"},
		{"{", "JSON"},
		{"\x7fELF", "a program"},
		{"\xff\xd8\xff", "a JPEG picture"},
		{"\x89PNG", "a PNG picture"},
		{"ptrt", "a TensorRT engine, which serves one kind of GPU: bring the ONNX file that it was built from"},
		{"ftrt", "a TensorRT engine, which serves one kind of GPU: bring the ONNX file that it was built from"},
	} {
		if bytes.HasPrefix(start, []byte(format.magic)) {
			return format.is
		}
	}
	switch {
	case len(start) == 0:
		return "an empty file"
	case len(start) > 8 && string(start[4:8]) == "TFL3":
		return "a TensorFlow Lite file: convert it to ONNX first"
	}
	return ""
}
