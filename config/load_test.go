package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

func TestDefaultsAreValid(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Error(err)
	}
	if got := load(t, ""); !cmp.Equal(got, Default()) {
		t.Error(cmp.Diff(Default(), got))
	}
}

// Every leaf is set in each of the three ways, to a value that is not its default.
func TestEveryKeyIsReadFromFileEnvironmentAndFlag(t *testing.T) {
	for _, l := range leaves() {
		text, base := another(t, l)
		want := Default()
		if base != "" {
			want = load(t, base)
		}
		if err := parse(l.of(want), text); err != nil {
			t.Fatalf("%s: %v", l.key, err)
		}
		if reflect.DeepEqual(l.of(want).Interface(), l.of(Default()).Interface()) {
			t.Fatalf("%s: the test needs a value that is not the default", l.key)
		}
		check := func(t *testing.T, got *Config) {
			t.Helper()
			got.File, want.File = "", ""
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("after %s = %s (-want +got):\n%s", l.key, text, diff)
			}
		}
		t.Run(l.key+"/environment", func(t *testing.T) {
			t.Setenv(l.env(), text)
			check(t, load(t, base))
		})
		t.Run(l.key+"/flag", func(t *testing.T) {
			check(t, load(t, base, "--"+l.flag()+"="+text))
		})
		t.Run(l.key+"/file", func(t *testing.T) {
			check(t, load(t, merge(t, base, l, text)))
		})
	}
}

// another is a valid text for a leaf that is not its default, and the file
// without which it would not be valid.
func another(t *testing.T, l leaf) (text, base string) {
	t.Helper()
	tls := "triton: {address: 'triton:8001', tls: {enabled: true}}"
	weaviate := "index: {store: weaviate, weaviate: {url: 'https://weaviate:8080'}}"
	switch l.key {
	case "server.address", "admin.address":
		return "127.0.0.1:1234", ""
	case "server.write_timeout", "server.read_timeout":
		return "25s", ""
	case "triton.address":
		return "triton.example:8001", ""
	case "triton.headers":
		return `triton-grpc-protocol-infer: s3cret, "other: with, a comma"`, ""
	case "triton.tls.enabled":
		return "true", "triton: {address: 'triton:8001'}"
	case "triton.tls.ca_file":
		certificate, _ := keyPair(t)
		return certificate, tls
	case "triton.tls.cert_file", "triton.tls.key_file":
		certificate, key := keyPair(t)
		base = strings.Replace(tls, "true}", "true, cert_file: '"+certificate+"', key_file: '"+key+"'}", 1)
		return copyOf(t, map[bool]string{true: certificate, false: key}[l.key == "triton.tls.cert_file"]), base
	case "triton.tls.server_name":
		return "other.example", tls
	case "triton.local.arguments":
		return "--log-verbose=1,--log-info=false", ""
	case "models.detector.version", "models.embedder.version",
		"models.detector.canary.version", "models.detector.shadow.version", "models.embedder.shadow.version":
		return "12", ""
	case "index.store":
		return "none", ""
	case "index.dsn":
		return "postgres://user:s3cret@host/db", "index: {store: postgres, dsn: 'postgres://other'}"
	case "index.weaviate.url":
		return "https://other:8080", weaviate
	case "index.weaviate.api_key":
		return "s3cret", weaviate
	case "index.weaviate.collection":
		return "Other", ""
	case "index.weaviate.ca_file":
		certificate, _ := keyPair(t)
		return certificate, weaviate
	case "index.keep_crops":
		return "false", ""
	case "index.crop_side", "limits.max_results":
		return "64", ""
	case "auth.keys":
		return "s3cret-0123456789,another-0123456789", ""
	case "auth.write_keys":
		return "s3cret-0123456789,another-0123456789", "auth: {keys: [a-client-0123456789]}"
	case "crop.fallback":
		return "full", ""
	case "log.level":
		return "debug", ""
	case "log.format":
		return "json", ""
	}
	switch kind(l.of(Default())) {
	case "duration":
		return "3s", ""
	case "size":
		return "3MiB", ""
	case "true|false":
		return "true", ""
	case "number":
		if l.field.Type.Kind() == reflect.Float64 {
			return "0.375", ""
		}
		return "7", ""
	default:
		return "other", ""
	}
}

func TestFlagWinsOverEnvironmentOverFileOverDefault(t *testing.T) {
	file := "limits: {max_side: 3000}"
	if got := load(t, file).Limits.MaxSide; got != 3000 {
		t.Errorf("with a file: %d", got)
	}
	t.Setenv("LEXICROP_LIMITS_MAX_SIDE", "4000")
	if got := load(t, file).Limits.MaxSide; got != 4000 {
		t.Errorf("with file and environment: %d", got)
	}
	if got := load(t, file, "--limits-max-side=5000").Limits.MaxSide; got != 5000 {
		t.Errorf("with file, environment and flag: %d", got)
	}
}

func TestEmptyVariableTakesTheFilesValueAway(t *testing.T) {
	t.Setenv("LEXICROP_TRITON_ADDRESS", "")
	if got := load(t, "triton: {address: 'triton:8001'}").Triton.Address; got != "" {
		t.Errorf("the address is %q", got)
	}
}

func TestFileIsFound(t *testing.T) {
	t.Chdir(t.TempDir())
	check := func(want string, o Options) {
		t.Helper()
		c, err := Load(o)
		if err != nil {
			t.Fatal(err)
		}
		if c.File != want {
			t.Errorf("read %q, want %q", c.File, want)
		}
	}
	check("", Options{})
	writeFile(t, "lexicrop.yaml", []byte("log: {level: warn}"))
	writeFile(t, "a.yaml", nil)
	writeFile(t, "b.yaml", []byte("# nothing but a comment"))
	check("lexicrop.yaml", Options{})
	t.Setenv("LEXICROP_CONFIG", "a.yaml")
	check("a.yaml", Options{})
	check("b.yaml", Options{File: "b.yaml"})

	if _, err := Load(Options{File: "c.yaml"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is named and not there: %v", err)
	}
}

func TestWhatCannotBeRead(t *testing.T) {
	tests := map[string]struct {
		file string
		env  [2]string
		args []string
		want string // a part of the message
	}{
		"unknown key": {
			file: "server:\n  addresss: ':1'",
			want: "server.addresss (lexicrop.yaml line 2): there is no such key, is server.address meant?",
		},
		"key in the wrong section": {
			file: "server: {max_pixels: 1}",
			want: "there is no such key, is limits.max_pixels meant?",
		},
		"key in upper case": {
			file: "Server: {address: ':1'}",
			want: "Server (lexicrop.yaml line 1): there is no such key, is server meant?",
		},
		"nothing near":          {file: "colour: blue", want: "colour (lexicrop.yaml line 1): there is no such key"},
		"key with dots":         {file: "'server.address': ':1'", want: "server.address (lexicrop.yaml line 1): there is no such key"},
		"key given twice":       {file: "log: {level: info}\nlog: {level: info}", want: "already defined"},
		"value for a section":   {file: "server: ':1'", want: "server (lexicrop.yaml line 1): it must be a section"},
		"section for a value":   {file: "server: {address: {port: 1}}", want: "server.address is \"map[port:1]\" (lexicrop.yaml line 1): one value is needed"},
		"list for a value":      {file: "server: {address: [':1']}", want: "one value is needed"},
		"value for a list":      {file: "triton: {local: {arguments: a}}", want: "a list is needed"},
		"section in a list":     {file: "triton: {headers: [name: value]}", want: "put it into quotes"},
		"list for the file":     {file: "[1, 2]", want: "the file (lexicrop.yaml line 1): it must be a section"},
		"no YAML":               {file: "server: [", want: "reading lexicrop.yaml"},
		"second document":       {file: "log: {level: info}\n---\nlog: {level: warn}", want: "second document"},
		"duration without unit": {file: "server: {idle_timeout: 5}", want: "server.idle_timeout is \"5\" (lexicrop.yaml line 1): a duration is needed, such as 500ms"},
		"number":                {env: [2]string{"LEXICROP_LIMITS_MAX_SIDE", "many"}, want: `limits.max_side is "many" (LEXICROP_LIMITS_MAX_SIDE): a whole number is needed`},
		"no number at all":      {env: [2]string{"LEXICROP_LIMITS_MAX_SIDE", ""}, want: `limits.max_side is "" (LEXICROP_LIMITS_MAX_SIDE): a whole number is needed`},
		"number too large":      {file: "limits: {max_pixels: 9223372036854775808}", want: "a whole number is needed"},
		"fraction":              {args: []string{"--crop-padding=half"}, want: `crop.padding is "half" (--crop-padding): a number is needed`},
		"not a number":          {args: []string{"--crop-padding=NaN"}, want: `crop.padding is NaN (--crop-padding): it must be between 0 and 1`},
		"boolean":               {args: []string{"--admin-pprof=perhaps"}, want: `admin.pprof is "perhaps" (--admin-pprof): true or false is needed`},
		"size":                  {file: "limits: {max_body_bytes: 5 apples}", want: "a size is needed"},
		"level":                 {file: "log: {level: loud}", want: "a level is needed: debug, info, warn or error"},
		"header without name":   {env: [2]string{"LEXICROP_TRITON_HEADERS", "s3cret"}, want: `triton.headers is **** (LEXICROP_TRITON_HEADERS): every header must be`},
		"masked header":         {file: "triton: {headers: ['a: \"****\"', 'b: ****']}", want: "the value of the header b was masked"},
		"masked secret":         {file: "index: {store: postgres, dsn: '****'}", want: "index.dsn is **** (lexicrop.yaml line 1): it was masked"},
		"masked key":            {file: "auth: {keys: ['****']}", want: "auth.keys is **** (lexicrop.yaml line 1): it was masked"},
		"short key":             {env: [2]string{"LEXICROP_AUTH_KEYS", "s3cret"}, want: "auth.keys is **** (LEXICROP_AUTH_KEYS): every key must have 16"},
		"key with a blank":      {file: "auth: {keys: ['s3cret 0123456789']}", want: "and no blanks"},
		"key given twice over":  {file: "auth: {keys: [s3cret-0123456789, s3cret-0123456789]}", want: "a key is given twice"},
		"unknown variable":      {env: [2]string{"LEXICROP_SERVER_ADDRESSS", ":1"}, want: "LEXICROP_SERVER_ADDRESSS: there is no such variable, is LEXICROP_SERVER_ADDRESS meant?"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			writeFile(t, "lexicrop.yaml", []byte(test.file))
			if test.env[0] != "" {
				t.Setenv(test.env[0], test.env[1])
			}
			_, err := Load(Options{Flags: parsed(t, test.args)})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v\nwant %s", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("the message shows a secret: %v", err)
			}
		})
	}
}

func TestAllProblemsAreToldAtOnce(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "lexicrop.yaml", []byte("server: {read_timeout: soon, port: 1}\ncrop: {padding: 2}\n"))
	t.Setenv("LEXICROP_LOG_FORMAT", "xml")
	t.Setenv("LEXICROP_WHATEVER", "1")
	_, err := Load(Options{Flags: parsed(t, []string{"--limits-max-side=0"})})
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	want := Problems{
		{Key: "server.port", Source: "lexicrop.yaml line 1", Want: "there is no such key"},
		{Key: "LEXICROP_WHATEVER", Want: "there is no such variable"},
		{Key: "server.read_timeout", Value: `"soon"`, Source: "lexicrop.yaml line 1", Want: "a duration is needed, such as 500ms, 10s or 1m30s"},
		{Key: "limits.max_side", Value: "0", Source: "--limits-max-side", Want: "it must be between 1 and 65535"},
		{Key: "crop.padding", Value: "2", Source: "lexicrop.yaml line 2", Want: "it must be between 0 and 1"},
		{Key: "log.format", Value: `"xml"`, Source: "LEXICROP_LOG_FORMAT", Want: "it must be one of text, json"},
	}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != len(want)+1 || lines[0] != "the configuration is wrong in 6 places:" {
		t.Errorf("message:\n%v", err)
	}
}

func TestVariablesOfKubernetesServicesAreNoneOfOurs(t *testing.T) {
	for name, value := range map[string]string{
		"LEXICROP_SERVICE_HOST":             "10.0.0.1",
		"LEXICROP_SERVICE_PORT":             "8080",
		"LEXICROP_SERVICE_PORT_HTTP":        "8080",
		"LEXICROP_PORT":                     "tcp://10.0.0.1:8080",
		"LEXICROP_PORT_8080_TCP":            "tcp://10.0.0.1:8080",
		"LEXICROP_PORT_8080_TCP_PROTO":      "tcp",
		"LEXICROP_PORT_8080_TCP_PORT":       "8080",
		"LEXICROP_PORT_8080_TCP_ADDR":       "10.0.0.1",
		"LEXICROP_TRITON_SERVICE_HOST":      "10.0.0.2",
		"LEXICROP_TRITON_PORT":              "tcp://10.0.0.2:8001",
		"LEXICROP_TRITON_PORT_8001_TCP":     "tcp://10.0.0.2:8001",
		"LEXICROP_TRITON_SERVICE_PORT_GRPC": "8001",
		"LEXICROP_TEST_DATA":                "data",
		"LEXICROP_SKIP_TRITON":              "1",
		"LEXICROP_ENGINE":                   "onnxruntime",
	} {
		t.Setenv(name, value)
	}
	load(t, "")

	t.Setenv("LEXICROP_SERVER_PORT", "8080") // written by someone who wanted something
	if _, err := Load(Options{}); err == nil || !strings.Contains(err.Error(), "LEXICROP_SERVER_PORT: there is no such variable") {
		t.Errorf("LEXICROP_SERVER_PORT=8080: %v", err)
	}
}

func TestNoVariableIsOneThatKubernetesSets(t *testing.T) {
	link := regexp.MustCompile(`_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)$`)
	seen := map[string]string{}
	for _, l := range leaves() {
		if link.MatchString(l.env()) {
			t.Errorf("Kubernetes sets %s for a Service of that name", l.env())
		}
		if other := seen[l.env()]; other != "" {
			t.Errorf("%s stands for both %s and %s", l.env(), other, l.key)
		}
		seen[l.env()] = l.key
	}
}

func TestHelpShowsTheEverydayFlags(t *testing.T) {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	BindFlags(flags)
	usage := flags.FlagUsages()
	for _, l := range leaves() {
		shown := strings.Contains(usage, "--"+l.flag()+" ")
		if everyday := l.field.Tag.Get("everyday") == "true"; shown != everyday {
			t.Errorf("--%s shown: %t, want %t", l.flag(), shown, everyday)
		}
		if flag := flags.Lookup(l.flag()); flag.Usage == "" {
			t.Errorf("--%s has no help", l.flag())
		}
	}
	if want := `--server-address text`; !strings.Contains(usage, want) || !strings.Contains(usage, "(default :8080)") {
		t.Errorf("want %s and its default in\n%s", want, usage)
	}
}

// load reads a file and flags that must be right.
func load(t *testing.T, file string, args ...string) *Config {
	t.Helper()
	o := Options{Flags: parsed(t, args)}
	if file != "" {
		o.File = filepath.Join(t.TempDir(), "lexicrop.yaml")
		writeFile(t, o.File, []byte(file))
	}
	c, err := Load(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func parsed(t *testing.T, args []string) *pflag.FlagSet {
	t.Helper()
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	BindFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return flags
}
