package config

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with a configuration.
type Problem struct {
	// Key is the key that is wrong, such as server.read_timeout, or the name of
	// an environment variable that stands for no key.
	Key string
	// Value is what it is, secrets masked; empty where the key itself is wrong.
	Value string
	// Source is where that was written: "lexicrop.yaml line 3", the name of a
	// variable, "--" and the name of a flag; empty for a default.
	Source string
	// Want says what would be right.
	Want string
}

func (p Problem) String() string {
	text := p.Key
	if p.Value != "" {
		text += " is " + p.Value
	}
	if p.Source != "" && p.Source != p.Key {
		text += " (" + p.Source + ")"
	}
	return text + ": " + p.Want
}

// Problems is the error of a configuration that cannot be used. It lists all
// that is wrong.
type Problems []Problem

func (p Problems) Error() string {
	if len(p) == 1 {
		return "the configuration is wrong: " + p[0].String()
	}
	var text strings.Builder
	fmt.Fprintf(&text, "the configuration is wrong in %d places:", len(p))
	for _, problem := range p {
		text.WriteString("\n  " + problem.String())
	}
	return text.String()
}

// err is nil when there is no problem.
func (p Problems) err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}
