package rest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/lexicam/lexicrop/service"
)

// upload is what a request brought: a photo and options as text.
type upload struct {
	photo   []byte
	options url.Values
	// values are the fields of a JSON object that are more than a text, see uploadFields.
	values  map[string]json.RawMessage
	buffers *bufferPool
	held    []*bytes.Buffer
}

// release gives the photo's memory back; the photo must not be used afterwards.
func (u *upload) release() {
	for _, b := range u.held {
		u.buffers.put(b)
	}
	u.held, u.photo = nil, nil
}

// uploadFields names what a form or a JSON object may hold beside options.
type uploadFields struct {
	// photo is the field of the photo.
	photo string
	// lists are options that a JSON object may give as a list.
	lists []string
	// values are fields of a JSON object that are kept as they are. With one of the instead fields, no
	// photo is needed.
	values, instead []string
}

// readUpload reads the photo of a request in any of the three ways it may come. A form's and a JSON
// object's other fields are options, added to those of the query. The caller releases the upload, also
// the empty one that comes with an error.
func readUpload(r *http.Request, fields uploadFields, maxBytes int64, buffers *bufferPool) (*upload, error) {
	u := &upload{buffers: buffers}
	var err error
	if u.options, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return u, badRequest("the query cannot be read: %v", err)
	}
	// A missing or broken Content-Type is as good as none: the photo is told by its content.
	mediaType, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch mediaType {
	case "multipart/form-data":
		err = u.readForm(r, params["boundary"], fields.photo, maxBytes)
	case "application/json":
		err = u.readJSON(r, fields, maxBytes)
	default:
		u.photo, err = u.read(r.Body, r.ContentLength, maxBytes)
	}
	return u, err
}

// maxOptionBytes bounds the text of one option in a form.
const maxOptionBytes = 1 << 10

func (u *upload) readForm(r *http.Request, boundary, field string, maxBytes int64) error {
	if boundary == "" {
		return badRequest("the multipart form has no boundary in its Content-Type")
	}
	form := multipart.NewReader(r.Body, boundary)
	seen := false
	for {
		part, err := form.NextPart()
		switch {
		case errors.Is(err, io.EOF) && seen:
			return nil
		case errors.Is(err, io.EOF):
			return badRequest("the form has no field %q with the photo", field)
		case err != nil:
			return bodyError("reading the form", err)
		}
		switch name := part.FormName(); {
		case name == field && seen:
			return badRequest("the form has more than one field %q: one photo is taken a request", field)
		case name == field:
			seen = true
			if u.photo, err = u.read(part, r.ContentLength, maxBytes); err != nil {
				return err
			}
		case part.FileName() != "":
			return badRequest("the form has a file in the field %q: the one photo goes into %q", name, field)
		default:
			value, err := io.ReadAll(io.LimitReader(part, maxOptionBytes+1))
			if err != nil {
				return bodyError("reading the form", err)
			}
			if len(value) > maxOptionBytes {
				return badRequest("the field %q is longer than %d bytes", name, maxOptionBytes)
			}
			u.options.Add(name, string(value))
		}
	}
}

func (u *upload) readJSON(r *http.Request, fields uploadFields, maxBytes int64) error {
	// Base64 makes four bytes of three; line breaks and the other fields need a little more.
	body, err := u.read(r.Body, r.ContentLength, maxBytes/3*4+maxBytes/32+1<<12)
	if failure := service.AsError(err); failure != nil && failure.Code == service.CodeTooManyBytes {
		return tooManyBytes(maxBytes) // of the photo, which is what the client can make smaller
	}
	if err != nil {
		return err
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(body, &object); err != nil || object == nil {
		return badRequest("the body is not a JSON object: %v", errOr(err, "it is null"))
	}
	encoded, hasPhoto := object[fields.photo]
	delete(object, fields.photo)
	for name, raw := range object {
		if slices.Contains(fields.values, name) {
			u.keep(name, raw)
			continue
		}
		texts, err := scalars(raw, slices.Contains(fields.lists, name))
		if err != nil {
			return badRequest("the field %q: %v", name, err)
		}
		u.options[name] = append(u.options[name], texts...)
	}
	replaced := slices.ContainsFunc(fields.instead, func(name string) bool { return u.values[name] != nil })
	switch {
	case hasPhoto && replaced:
		return badRequest("the JSON object has both %q and %s: one of them is taken a request", fields.photo, strings.Join(fields.instead, ", "))
	case replaced:
		return nil
	case !hasPhoto:
		return badRequest("the JSON object has no field %q with the photo", fields.photo)
	}
	var text string
	if err := json.Unmarshal(encoded, &text); err != nil {
		return badRequest("the field %q is not a string", fields.photo)
	}
	if u.photo, err = u.decodeBase64(text, fields.photo); err != nil {
		return err
	}
	if int64(len(u.photo)) > maxBytes {
		return tooManyBytes(maxBytes)
	}
	return nil
}

func (u *upload) keep(name string, value json.RawMessage) {
	if u.values == nil {
		u.values = map[string]json.RawMessage{}
	}
	u.values[name] = value
}

// scalars returns a JSON string, number or boolean, or where a list may be one of these each, as the
// texts that a query would have.
func scalars(raw json.RawMessage, list bool) ([]string, error) {
	if !list || raw[0] != '[' {
		text, err := scalar(raw)
		return []string{text}, err
	}
	var elements []json.RawMessage
	if err := json.Unmarshal(raw, &elements); err != nil {
		return nil, err
	}
	texts := make([]string, len(elements))
	for i, element := range elements {
		var err error
		if texts[i], err = scalar(element); err != nil {
			return nil, err
		}
	}
	return texts, nil
}

// scalar returns a JSON string, number or boolean as the text that a query would have.
func scalar(raw json.RawMessage) (string, error) {
	switch raw[0] {
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case '{', '[', 'n':
		return "", errors.New("must be a number or a string")
	default:
		return string(raw), nil
	}
}

// decodeBase64 takes plain base64 and data URLs, in the standard and the URL alphabet, with or
// without padding and line breaks, as the many encoders of the world write them.
func (u *upload) decodeBase64(text, field string) ([]byte, error) {
	if strings.HasPrefix(text, "data:") {
		head, data, ok := strings.Cut(text, ",")
		if !ok || !strings.HasSuffix(head, ";base64") {
			return nil, badRequest("the field %q is a data URL without \";base64,\"", field)
		}
		text = data
	}
	text = strings.TrimRight(text, "= \r\n\t")
	encoding := base64.RawStdEncoding
	if strings.ContainsAny(text, "-_") {
		encoding = base64.RawURLEncoding
	}
	buffer := u.hold()
	buffer.Grow(encoding.DecodedLen(len(text)))
	photo := buffer.AvailableBuffer()[:encoding.DecodedLen(len(text))]
	n, err := encoding.Decode(photo, []byte(text))
	if err != nil {
		return nil, badRequest("the field %q is not base64: %v", field, err)
	}
	return photo[:n], nil
}

// read reads all of r, at most maxBytes, into pooled memory. hint is the expected length, -1 if
// unknown; a lie in it costs no memory beyond the limit.
func (u *upload) read(r io.Reader, hint, maxBytes int64) ([]byte, error) {
	if hint > maxBytes+maxFormOverhead {
		return nil, tooManyBytes(maxBytes)
	}
	buffer := u.hold()
	if hint > 0 {
		buffer.Grow(int(min(hint, maxBytes, maxTrustedLength)) + bytes.MinRead)
	}
	n, err := buffer.ReadFrom(io.LimitReader(r, maxBytes+1))
	switch {
	case err != nil:
		return nil, bodyError("reading the photo", err)
	case n > maxBytes:
		return nil, tooManyBytes(maxBytes)
	}
	return buffer.Bytes(), nil
}

const (
	// maxFormOverhead is what a form adds to its photo: boundaries, headers and options.
	maxFormOverhead = 64 << 10
	// maxTrustedLength is how much is allocated on a mere announcement of Content-Length.
	maxTrustedLength = 8 << 20
)

func (u *upload) hold() *bytes.Buffer {
	buffer := u.buffers.get()
	u.held = append(u.held, buffer)
	return buffer
}

// bufferPool keeps buffers of photos between requests, but no giants.
type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) get() *bytes.Buffer {
	if b, ok := p.pool.Get().(*bytes.Buffer); ok {
		return b
	}
	return new(bytes.Buffer)
}

func (p *bufferPool) put(b *bytes.Buffer) {
	if b.Cap() > maxTrustedLength {
		return
	}
	b.Reset()
	p.pool.Put(b)
}

func badRequest(format string, args ...any) error {
	return &service.Error{Code: service.CodeInvalid, Detail: fmt.Sprintf(format, args...)}
}

func tooManyBytes(limit int64) error {
	return &service.Error{Code: service.CodeTooManyBytes, Detail: fmt.Sprintf("the photo has more than the %d bytes that are taken", limit)}
}

// bodyError tells a client that went away or dawdled from one that sent nonsense.
func bodyError(doing string, err error) error {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return &service.Error{Code: service.CodeDeadline, Detail: "the body did not arrive in time", Err: fmt.Errorf("%s: %w", doing, err)}
	}
	return &service.Error{Code: service.CodeInvalid, Detail: "the body ends too early or is malformed", Err: fmt.Errorf("%s: %w", doing, err)}
}

func errOr(err error, otherwise string) error {
	if err != nil {
		return err
	}
	return errors.New(otherwise)
}
