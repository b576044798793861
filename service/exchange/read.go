package exchange

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// lineReader reads lines of a bounded length. Longer ones are passed over.
type lineReader struct {
	reader *bufio.Reader
	max    int
	number int
	line   []byte
}

var errTooLong = errors.New("the line is too long: see limits.max_line_bytes")

func newLineReader(r io.Reader, maxBytes int) *lineReader {
	return &lineReader{reader: bufio.NewReaderSize(r, 64<<10), max: maxBytes}
}

// next returns the next line that is not blank, valid until the call after, with its number from 1. The
// error is errTooLong, after which the next line can be read, or the reader's.
func (l *lineReader) next() (line []byte, number int, err error) {
	for {
		line, err := l.read()
		if err != nil {
			return nil, l.number, err
		}
		if line = bytes.TrimSpace(line); len(line) > 0 {
			return line, l.number, nil
		}
	}
}

func (l *lineReader) read() ([]byte, error) {
	l.number++
	l.line = l.line[:0]
	tooLong := false
	for {
		part, err := l.reader.ReadSlice('\n')
		if tooLong = tooLong || len(l.line)+len(part) > l.max+1; !tooLong {
			l.line = append(l.line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && (tooLong || len(l.line) > 0):
			// The last line may end without a line break.
		case err != nil:
			return nil, err
		}
		if tooLong {
			return nil, errTooLong
		}
		return l.line, nil
	}
}
