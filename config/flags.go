package config

import (
	"log/slog"
	"reflect"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// BindFlags adds a flag for every value of the configuration, such as
// --server-address for server.address. Help shows only the everyday ones. The
// flags keep their text: Load reads them together with the other sources, so
// that all faults are told at once and in the same words.
func BindFlags(flags *pflag.FlagSet) {
	defaults := Default()
	for _, l := range leaves() {
		value := l.of(defaults)
		flag := flags.VarPF(&flagValue{kind: kind(value)}, l.flag(), "", summary(l.key))
		flag.DefValue = strings.Join(format(value), ",")
		flag.Hidden = l.field.Tag.Get("everyday") == ""
		if value.Kind() == reflect.Bool {
			flag.NoOptDefVal = "true" // --admin-pprof alone
		}
	}
}

type flagValue struct{ text, kind string }

func (v *flagValue) Set(text string) error { v.text = text; return nil }

func (v *flagValue) String() string { return v.text }

func (v *flagValue) Type() string { return v.kind }

// kind is what help writes behind a flag's name. It must be none of pflag's own
// types: viper converts their texts, and makes 0 of what it cannot read.
func kind(value reflect.Value) string {
	switch value.Interface().(type) {
	case time.Duration:
		return "duration"
	case ByteSize:
		return "size"
	case slog.Level:
		return "level"
	case []string, Headers, Secrets:
		return "list"
	}
	switch value.Kind() {
	case reflect.Bool:
		return "true|false"
	case reflect.String:
		return "text"
	default:
		return "number"
	}
}

// summary is the first sentence of a key's documentation.
func summary(key string) string {
	sentence, _, _ := strings.Cut(docs[key], ". ")
	return strings.TrimSuffix(sentence, ".")
}
