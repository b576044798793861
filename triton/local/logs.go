package local

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// logReader passes tritonserver's output on to slog.
type logReader struct {
	log  *slog.Logger
	mu   sync.Mutex
	last string // the last line of level error
}

func newLogReader(log *slog.Logger) *logReader { return &logReader{log: log} }

// readAll reads until the output is closed. It never stops reading before: a
// full pipe would stop Triton.
func (r *logReader) readAll(output io.Reader) {
	lines := bufio.NewReaderSize(output, 64<<10)
	for {
		line, err := lines.ReadSlice('\n') // a line over 64 KiB comes in pieces
		if text := strings.TrimRight(string(line), "\r\n"); text != "" {
			r.pass(text)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

func (r *logReader) pass(line string) {
	level, source, message := parseLine(line)
	if message == "" {
		return // the title line of a table
	}
	if level >= slog.LevelError {
		r.mu.Lock()
		r.last = message
		r.mu.Unlock()
	}
	if source == "" {
		r.log.Log(context.Background(), level, message)
		return
	}
	r.log.Log(context.Background(), level, message, "source", source)
}

func (r *logReader) lastError() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// glog is the form of a line of Triton's own:
//
//	I1125 01:30:39.312373 11864 python_be.cc:2249] "message"
var glog = regexp.MustCompile(`^([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ \d+ (\S+:\d+)\] (.*)$`)

// noGPU are complaints that every machine without a GPU gets at each start.
var noGPU = regexp.MustCompile(`CUDA|CudaDriver|NVML|DCGM|GPU metrics|[Pp]inned`)

// abort are the last words of a C++ program that gives up.
var abort = regexp.MustCompile(`^(terminate called|  what\(\):)`)

// parseLine splits a line of the output. What is not in Triton's form (prints
// and tracebacks of Python models, tables) has no source.
func parseLine(line string) (level slog.Level, source, message string) {
	parts := glog.FindStringSubmatch(line)
	if parts == nil {
		if abort.MatchString(line) {
			return slog.LevelError, "", line
		}
		if strings.HasPrefix(line, "+-") || strings.HasPrefix(line, "| ") || noGPU.MatchString(line) {
			return slog.LevelDebug, "", line
		}
		return slog.LevelInfo, "", line
	}
	message = strings.TrimSpace(parts[3])
	if text, err := strconv.Unquote(message); err == nil {
		message = text
	}
	switch parts[1] {
	case "E", "F":
		level = slog.LevelError
	case "W":
		level = slog.LevelWarn
	}
	if noGPU.MatchString(message) {
		level = slog.LevelDebug
	}
	return level, parts[2], message
}
