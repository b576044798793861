package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"
	"github.com/spf13/viper"
)

// FileVariable is the environment variable that names the configuration file.
const FileVariable = envPrefix + "CONFIG"

// DefaultFile is read from the working directory when it is there and no other
// file is named.
const DefaultFile = "lexicrop.yaml"

// Options says where to read a configuration from, apart from the environment.
type Options struct {
	// File is the YAML file. Empty: the one that LEXICROP_CONFIG names, or else
	// lexicrop.yaml in the working directory if there is one.
	File string
	// Flags are those that BindFlags made, parsed; nil for none.
	Flags *pflag.FlagSet
}

// Load reads the configuration. When it is wrong, the error is of type
// Problems and tells all that is.
func Load(o Options) (*Config, error) {
	c := Default()
	path, content, err := readFile(o.File)
	if err != nil {
		return nil, err
	}
	c.File = path
	problems, lines, err := checkKeys(path, content)
	if err != nil {
		return nil, err
	}
	problems = append(problems, unknownVariables(os.Environ())...)

	v, err := sources(content, o.Flags)
	if err != nil && problems != nil {
		return nil, problems // which say better what is wrong with the file
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	s := settings{viper: v, flags: o.Flags, lines: lines}
	for _, l := range leaves() {
		if problem := s.set(c, l); problem != nil {
			problems = append(problems, *problem)
		}
	}
	for _, problem := range c.validate() {
		// A key that could not be read has its default now, which is not to blame.
		if !slices.ContainsFunc(problems, func(p Problem) bool { return p.Key == problem.Key }) {
			problem.Source = s.source(problem.Key)
			problems = append(problems, problem)
		}
	}
	if err := problems.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// readFile finds and reads the configuration file. The path is empty when there is none.
func readFile(path string) (string, []byte, error) {
	if path == "" {
		path = os.Getenv(FileVariable)
	}
	optional := path == ""
	if optional {
		path = DefaultFile
	}
	content, err := os.ReadFile(path)
	if optional && errors.Is(err, fs.ErrNotExist) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return path, content, nil
}

// sources brings file, environment and flags together; viper knows which wins.
func sources(content []byte, flags *pflag.FlagSet) (*viper.Viper, error) {
	v := viper.New()
	v.SetConfigType("yaml")
	if err := v.ReadConfig(bytes.NewReader(content)); err != nil {
		return nil, err
	}
	v.AllowEmptyEnv(true) // LEXICROP_TRITON_ADDRESS= takes an address of the file away
	for _, l := range leaves() {
		if err := v.BindEnv(l.key, l.env()); err != nil {
			return nil, err
		}
		if flags == nil || !flags.Changed(l.flag()) {
			continue // viper would take the default of a flag for a value
		}
		if err := v.BindPFlag(l.key, flags.Lookup(l.flag())); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// settings is what file, environment and flags say.
type settings struct {
	viper *viper.Viper
	flags *pflag.FlagSet
	lines map[string]string // where a key stands in the file
}

// set puts what was said about a leaf into c.
func (s settings) set(c *Config, l leaf) *Problem {
	target := l.of(c)
	raw := s.viper.Get(l.key)
	if raw == nil {
		return nil
	}
	text, isText := raw.(string)
	var err error
	switch elements, isListOfFile := raw.([]any); {
	case isListOfFile && isList(target.Type()):
		err = setList(target, elements)
		text = fmt.Sprint(elements...)
	case isListOfFile, reflect.TypeOf(raw).Kind() == reflect.Map:
		err = errors.New("one value is needed")
		text = fmt.Sprint(raw)
	case isList(target.Type()) && s.fromFile(l.key):
		err = errors.New(`a list is needed: every element on a line of its own after "- "`)
		text = fmt.Sprint(raw)
	default:
		if !isText {
			text = fmt.Sprint(raw)
		}
		err = parse(target, text)
	}
	if err == nil {
		return nil
	}
	target.Set(l.of(Default()))
	return &Problem{Key: l.key, Value: l.show(strconv.Quote(text)), Source: s.source(l.key), Want: err.Error()}
}

func setList(target reflect.Value, elements []any) error {
	texts := make([]string, len(elements))
	for i, element := range elements {
		if reflect.TypeOf(element) == nil || reflect.TypeOf(element).Kind() == reflect.Map || reflect.TypeOf(element).Kind() == reflect.Slice {
			return errors.New("every element of the list must be a text; put it into quotes")
		}
		texts[i] = fmt.Sprint(element)
	}
	return parseList(target, texts)
}

// source tells where a key's value was written, empty for nowhere.
func (s settings) source(key string) string {
	l := leaf{key: key}
	if s.flags != nil && s.flags.Changed(l.flag()) {
		return "--" + l.flag()
	}
	if _, set := os.LookupEnv(l.env()); set {
		return l.env()
	}
	return s.lines[key]
}

func (s settings) fromFile(key string) bool {
	source := s.source(key)
	return source != "" && source == s.lines[key]
}

// serviceLink matches the variables that Kubernetes sets in every pod for a
// Service that is called lexicrop or lexicrop-something.
var serviceLink = regexp.MustCompile(
	`^LEXICROP_(\w+_)?(SERVICE_HOST=|SERVICE_PORT(_\w+)?=|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?=|PORT=(tcp|udp|sctp)://)`)

// unknownVariables finds variables that look as if they would configure
// something and do not.
func unknownVariables(environ []string) Problems {
	names := []string{FileVariable}
	for _, l := range leaves() {
		names = append(names, l.env())
	}
	var problems Problems
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		switch {
		case !strings.HasPrefix(name, envPrefix), slices.Contains(names, name):
		case strings.HasPrefix(name, envPrefix+"TEST_"), strings.HasPrefix(name, envPrefix+"SKIP_"): // of tests
		case name == envPrefix+"ENGINE": // of the models' program, in a Triton that this process starts
		case serviceLink.MatchString(entry):
		default:
			problems = append(problems, Problem{Key: name, Want: "there is no such variable" + didYouMean(name, names)})
		}
	}
	slices.SortFunc(problems, func(a, b Problem) int { return strings.Compare(a.Key, b.Key) })
	return problems
}
