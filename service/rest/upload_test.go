package rest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lexicam/lexicrop/service"
)

const testLimit = 1000

// formPart is a field of a multipart form; a file where it has a file name.
type formPart struct{ name, file, content string }

func form(parts ...formPart) (contentType string, body []byte) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		var part io.Writer
		if p.file != "" {
			part, _ = w.CreateFormFile(p.name, p.file)
		} else {
			part, _ = w.CreateFormField(p.name)
		}
		_, _ = io.WriteString(part, p.content)
	}
	_ = w.Close()
	return w.FormDataContentType(), b.Bytes()
}

func TestReadUploadTakesAPhotoInEveryWay(t *testing.T) {
	const photo = "a photo, \xff\xfe as bytes ???>>>"
	std := base64.StdEncoding.EncodeToString([]byte(photo))
	formType, formBody := form(
		formPart{name: "detections", content: "3"},
		formPart{name: "image", file: "photo.jpg", content: photo},
		formPart{name: "padding", content: "0.1"},
	)
	bareType, bareBody := form(formPart{name: "image", content: photo})
	jsonBody := func(image string) []byte {
		b, _ := json.Marshal(map[string]any{"image": image, "detections": 3, "output": "image"})
		return b
	}
	tests := []struct {
		name, contentType, query string
		body                     []byte
		options                  url.Values
	}{
		{name: "raw without a type", body: []byte(photo)},
		{name: "raw with an option", contentType: "image/jpeg", query: "min_score=0.5", body: []byte(photo), options: url.Values{"min_score": {"0.5"}}},
		{name: "raw as curl --data-binary sends it", contentType: "application/x-www-form-urlencoded", body: []byte(photo)},
		{name: "raw with a broken type", contentType: "/;;", body: []byte(photo)},
		{name: "form", contentType: formType, query: "quality=5", body: formBody, options: url.Values{"detections": {"3"}, "padding": {"0.1"}, "quality": {"5"}}},
		{name: "form whose photo has no file name", contentType: bareType, body: bareBody},
		{name: "JSON, plain base64", contentType: "application/json; charset=utf-8", body: jsonBody(std), options: url.Values{"detections": {"3"}, "output": {"image"}}},
		{name: "JSON, data URL", contentType: "application/json", body: jsonBody("data:image/jpg;base64," + std), options: url.Values{"detections": {"3"}, "output": {"image"}}},
		{name: "JSON, URL alphabet without padding", contentType: "application/json", body: jsonBody(base64.RawURLEncoding.EncodeToString([]byte(photo))), options: url.Values{"detections": {"3"}, "output": {"image"}}},
		{name: "JSON, with line breaks", contentType: "application/json", body: jsonBody(std[:10] + "\r\n" + std[10:] + "\n"), options: url.Values{"detections": {"3"}, "output": {"image"}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, chunked := range []bool{false, true} {
				u, err := readUpload(request(test.contentType, test.query, test.body, chunked), uploadFields{photo: "image"}, testLimit, &bufferPool{})
				if err != nil {
					t.Fatalf("chunked=%v: %v", chunked, err)
				}
				if string(u.photo) != photo {
					t.Errorf("chunked=%v: the photo is %q", chunked, u.photo)
				}
				options := test.options
				if options == nil {
					options = url.Values{}
				}
				if d := cmp.Diff(options, u.options); d != "" {
					t.Errorf("chunked=%v: options: %s", chunked, d)
				}
				u.release()
			}
		})
	}
}

func TestReadUploadRefuses(t *testing.T) {
	tenFiles := make([]formPart, 10)
	for i := range tenFiles {
		tenFiles[i] = formPart{name: "image", file: fmt.Sprintf("%d.jpg", i), content: "x"}
	}
	tenType, tenBody := form(tenFiles...)
	otherType, otherBody := form(formPart{name: "photo", file: "a.jpg", content: "x"})
	noneType, noneBody := form(formPart{name: "detections", content: "1"})
	longType, longBody := form(formPart{name: "note", content: strings.Repeat("x", maxOptionBytes+1)})
	largeType, largeBody := form(formPart{name: "image", file: "a.jpg", content: strings.Repeat("x", testLimit+1)})
	cutType, cutBody := form(formPart{name: "image", file: "a.jpg", content: strings.Repeat("x", testLimit)})
	large := base64.StdEncoding.EncodeToString(make([]byte, testLimit+1))
	const isJSON = "application/json"
	tests := []struct {
		name, contentType, query string
		body                     []byte
		code                     service.Code
	}{
		{"ten files", tenType, "", tenBody, service.CodeInvalid},
		{"a file in another field", otherType, "", otherBody, service.CodeInvalid},
		{"no photo in the form", noneType, "", noneBody, service.CodeInvalid},
		{"a form without boundary", "multipart/form-data", "", cutBody, service.CodeInvalid},
		{"a form with another boundary", "multipart/form-data; boundary=other", "", cutBody, service.CodeInvalid},
		{"a form that ends early", cutType, "", cutBody[:len(cutBody)/2], service.CodeInvalid},
		{"an endless option", longType, "", longBody, service.CodeInvalid},
		{"a large photo in a form", largeType, "", largeBody, service.CodeTooManyBytes},
		{"a large raw photo", "image/jpeg", "", make([]byte, testLimit+1), service.CodeTooManyBytes},
		{"an endless raw photo", "image/jpeg", "", make([]byte, 100*testLimit), service.CodeTooManyBytes},
		{"a large photo in JSON", isJSON, "", []byte(`{"image":"` + large + `"}`), service.CodeTooManyBytes},
		{"endless JSON", isJSON, "", []byte(`{"image":"` + strings.Repeat("A", 1<<20) + `"}`), service.CodeTooManyBytes},
		{"no JSON", isJSON, "", []byte("hello"), service.CodeInvalid},
		{"JSON that ends early", isJSON, "", []byte(`{"image":"QUJD"`), service.CodeInvalid},
		{"JSON null", isJSON, "", []byte("null"), service.CodeInvalid},
		{"a JSON list", isJSON, "", []byte(`["QUJD"]`), service.CodeInvalid},
		{"two JSON objects", isJSON, "", []byte(`{"image":"QUJD"}{"image":"QUJD"}`), service.CodeInvalid},
		{"JSON without photo", isJSON, "", []byte(`{}`), service.CodeInvalid},
		{"a photo that is a number", isJSON, "", []byte(`{"image":5}`), service.CodeInvalid},
		{"an option that is an object", isJSON, "", []byte(`{"image":"QUJD","padding":{}}`), service.CodeInvalid},
		{"an option that is null", isJSON, "", []byte(`{"image":"QUJD","padding":null}`), service.CodeInvalid},
		{"base64 garbage", isJSON, "", []byte(`{"image":"?!*"}`), service.CodeInvalid},
		{"a data URL that is not base64", isJSON, "", []byte(`{"image":"data:image/png,abc"}`), service.CodeInvalid},
		{"a broken query", "image/jpeg", "min_score=%zz", []byte("x"), service.CodeInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, chunked := range []bool{false, true} {
				u, err := readUpload(request(test.contentType, test.query, test.body, chunked), uploadFields{photo: "image"}, testLimit, &bufferPool{})
				u.release()
				if err == nil {
					t.Fatalf("chunked=%v: taken", chunked)
				}
				if e := service.AsError(err); e.Code != test.code || e.Detail == "" {
					t.Errorf("chunked=%v: %v, want the code %s", chunked, err, test.code)
				}
			}
		})
	}
}

// FuzzReadUpload looks for bodies that crash or that give more bytes than the limit.
func FuzzReadUpload(f *testing.F) {
	contentType, body := form(formPart{name: "image", file: "a.jpg", content: "photo"}, formPart{name: "padding", content: "0.1"})
	f.Add(contentType, body)
	f.Add("multipart/form-data; boundary=x", []byte("--x\r\nContent-Disposition: form-data; name=image\r\n\r\n\r\n--x--"))
	f.Add("application/json", []byte(`{"image":"data:image/jpg;base64,QUJD","padding":0.1}`))
	f.Add("image/jpeg", []byte("\xff\xd8\xff"))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		u, err := readUpload(request(contentType, "", body, true), uploadFields{photo: "image"}, testLimit, &bufferPool{})
		defer u.release()
		switch {
		case err == nil && len(u.photo) > testLimit:
			t.Errorf("%d bytes were taken", len(u.photo))
		case err != nil && service.AsError(err).Code == service.CodeInternal:
			t.Errorf("an error without a code of its own: %v", err)
		}
	})
}

func request(contentType, query string, body []byte, chunked bool) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.URL.RawQuery = query
	r.Header.Set("Content-Type", contentType)
	if chunked {
		r.ContentLength = -1
	}
	return r
}
