package config

import (
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// envPrefix begins the name of every environment variable of ours.
const envPrefix = "LEXICROP_"

// leaf is one value that can be set, described by its field's tags:
//
//	key       its name in its section
//	everyday  shown in the help of commands; every other flag is hidden
//	min, max  the range, written as in a file
//	oneof     the values there are, separated by blanks
//	check     a rule of validate.go
type leaf struct {
	key   string // such as server.read_timeout
	index []int  // of the field, for FieldByIndex
	field reflect.StructField
}

// of is the leaf's value in a configuration.
func (l leaf) of(c *Config) reflect.Value { return reflect.ValueOf(c).Elem().FieldByIndex(l.index) }

// env is the name of its environment variable.
func (l leaf) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(l.key, ".", "_"))
}

// flag is the name of its flag.
func (l leaf) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(l.key) }

func (l leaf) secret() bool { return isSecret(l.field.Type) }

// show is a text of this leaf as it may be shown to anyone.
func (l leaf) show(text string) string {
	if l.secret() {
		return masked
	}
	return text
}

// quote makes visible where the text of a string begins and ends.
func (l leaf) quote(text string) string {
	if l.field.Type.Kind() == reflect.String || isList(l.field.Type) {
		return strconv.Quote(text)
	}
	return text
}

// isSection tells the fields that hold other fields.
func isSection(t reflect.Type) bool { return t.Kind() == reflect.Struct }

// leaves lists every value of Config, in the order of its fields.
func leaves() []leaf { return leavesOf(reflect.TypeFor[Config](), "", nil) }

func leavesOf(t reflect.Type, prefix string, index []int) []leaf {
	var all []leaf
	for field := range fields(t) {
		key := prefix + field.Tag.Get("key")
		path := slices.Concat(index, field.Index)
		if isSection(field.Type) {
			all = append(all, leavesOf(field.Type, key+".", path)...)
		} else {
			all = append(all, leaf{key, path, field})
		}
	}
	return all
}

// fields are the fields of a section that are part of the configuration.
func fields(section reflect.Type) iter.Seq[reflect.StructField] {
	return func(yield func(reflect.StructField) bool) {
		for field := range section.Fields() {
			if field.Tag.Get("key") != "-" && !yield(field) {
				return
			}
		}
	}
}
