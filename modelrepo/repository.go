package modelrepo

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"github.com/lexicam/lexicrop/triton/inference"
)

// ModelFile is the network in a version's folder, the same for every profile.
const ModelFile = "model.onnx"

// Model is one model folder of a repository.
type Model struct {
	Name string
	Dir  string
	// Versions are its numbered folders, ascending.
	Versions []int
	// Config is config.pbtxt, Profiles are configs/NAME.pbtxt by NAME.
	Config   *inference.ModelConfig
	Profiles map[string]*inference.ModelConfig
	// Contract is what Config declares; it is empty when Err is not nil.
	Contract Contract
	// Err is what is wrong with Config or Contract.
	Err error
}

// Open reads a model repository: every folder in dir that has a config.pbtxt,
// by name. A model that is wrong is listed with its Err.
func Open(dir string) ([]Model, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("model repository: %w", err)
	}
	var models []Model
	for _, entry := range entries {
		folder := filepath.Join(dir, entry.Name())
		if _, err := os.Stat(filepath.Join(folder, "config.pbtxt")); err == nil {
			models = append(models, openModel(folder))
		}
	}
	return models, nil
}

func openModel(dir string) Model {
	m := Model{Name: filepath.Base(dir), Dir: dir, Profiles: map[string]*inference.ModelConfig{}}
	var faults []error
	config, err := readConfig(filepath.Join(dir, "config.pbtxt"), m.Name)
	if err == nil {
		m.Config = config
		m.Contract, err = ReadContract(config)
	}
	faults = append(faults, err)
	profiles, _ := filepath.Glob(filepath.Join(dir, "configs", "*.pbtxt"))
	for _, path := range profiles {
		config, err := readConfig(path, m.Name)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		m.Profiles[strings.TrimSuffix(filepath.Base(path), ".pbtxt")] = config
	}
	m.Versions, err = versions(dir)
	m.Err = errors.Join(append(faults, err)...)
	return m
}

// Verify reads the model files and says everything that is wrong with a model:
// its contract, its fingerprint, profiles that differ from config.pbtxt in more
// than how they run.
func (m Model) Verify() error {
	faults := []error{m.Err}
	for _, name := range slices.Sorted(maps.Keys(m.Profiles)) {
		faults = append(faults, m.verifyProfile(name))
	}
	if m.Config != nil && len(m.Versions) > 0 {
		faults = append(faults, m.verifyFingerprint())
	}
	if err := errors.Join(faults...); err != nil {
		return fmt.Errorf("model %s: %w", m.Name, err)
	}
	return nil
}

// verifyFingerprint looks at the newest version, which Triton serves.
func (m Model) verifyFingerprint() error {
	path := filepath.Join(m.Dir, strconv.Itoa(m.Versions[len(m.Versions)-1]), ModelFile)
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	right, err := Fingerprint(file, m.Config)
	if err != nil {
		return err
	}
	if declared := m.Config.Parameters[KeyFingerprint].GetStringValue(); declared != right {
		return fmt.Errorf("parameter %s is %q, but of %s and this contract it is %s", KeyFingerprint, declared, path, right)
	}
	return nil
}

func (m Model) verifyProfile(name string) error {
	profile := m.Profiles[name]
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("configs/%s.pbtxt: "+format, append([]any{name}, args...)...))
	}
	if m.Config == nil {
		return nil
	}
	keys := maps.Clone(profile.Parameters)
	maps.Copy(keys, m.Config.Parameters)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		ours, theirs := profile.Parameters[key].GetStringValue(), m.Config.Parameters[key].GetStringValue()
		if isContractKey(key) && ours != theirs {
			fault("parameter %s is %q where config.pbtxt has %q", key, ours, theirs)
		}
	}
	same := proto.Equal(
		&inference.ModelConfig{Input: profile.Input, Output: profile.Output},
		&inference.ModelConfig{Input: m.Config.Input, Output: m.Config.Output})
	if !same {
		fault("inputs or outputs are not those of config.pbtxt")
	}
	return errors.Join(faults...)
}

// readConfig parses a pbtxt file. Fields that only Triton knows are passed
// over; the name is the folder's, as in Triton.
func readConfig(path, name string) (*inference.ModelConfig, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	config := &inference.ModelConfig{}
	if err := (prototext.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, config); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if config.Name == "" {
		config.Name = name
	}
	if config.Name != name {
		return nil, fmt.Errorf("%s: name is %q, but the folder is %q", path, config.Name, name)
	}
	return config, nil
}

func versions(dir string) ([]int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var found []int
	for _, entry := range entries {
		number, err := strconv.Atoi(entry.Name())
		if err == nil && number > 0 && isDir(filepath.Join(dir, entry.Name())) {
			found = append(found, number)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: there is no version folder (1, 2, …): %w", dir, fs.ErrNotExist)
	}
	slices.Sort(found)
	return found, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
