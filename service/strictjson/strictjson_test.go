package strictjson

import (
	"strings"
	"testing"
)

func TestObject(t *testing.T) {
	type object struct {
		Year   int       `json:"year"`
		Vector []float32 `json:"vector"`
		Crop   []byte    `json:"crop"`
		Inner  struct {
			Name string `json:"name"`
		} `json:"inner"`
	}
	for text, want := range map[string]string{
		` {"year":1900,"vector":[0.5],"inner":{"name":"x"}} `: "",
		`{}`:                        "",
		``:                          "there is nothing",
		`[]`:                        "a JSON object is needed",
		`null`:                      "a JSON object is needed",
		`{"year":1.5}`:              `the field "year" cannot be a number 1.5`,
		`{"year":"1900"}`:           `the field "year" cannot be a string`,
		`{"vector":["x"]}`:          `the field "vector" cannot be a string`,
		`{"inner":{"name":1}}`:      `the field "inner.name" cannot be a number`,
		`{"inner":{"surname":"x"}}`: `unknown field "surname"`,
		`{"crop":"?"}`:              "illegal base64",
		`{"year":1`:                 "it ends before",
		`{"year":x}`:                "it is no JSON at byte 9",
		`{} {}`:                     "something follows",
		`{"vector":[1e99]}`:         `the field "vector" cannot be a number 1e99`,
	} {
		err := Object([]byte(text), &object{})
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", text, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%s: %v, want %s", text, err, want)
		case err != nil && strings.Contains(err.Error(), "Go "):
			t.Errorf("%s: speaks of Go: %v", text, err)
		}
	}
}
