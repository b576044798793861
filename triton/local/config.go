package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/lexicam/lexicrop/triton/inference"
)

// LoadConfig is the model configuration that a load of this server should
// override the repository's with: the same, and as many instances of a Python
// model as Options say. Empty when the repository's will do. It goes into
// triton.Options of every client that loads models here.
func (s *Server) LoadConfig(model string) (string, error) {
	path := filepath.Join(s.options.Repository, model, "config.pbtxt")
	if s.options.Profile != "" {
		profile := filepath.Join(s.options.Repository, model, "configs", s.options.Profile+".pbtxt")
		if _, err := os.Stat(profile); err == nil {
			path = profile
		}
	}
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // Triton says what it thinks of that
	}
	if err != nil {
		return "", err
	}
	var config inference.ModelConfig
	if err := prototext.Unmarshal(text, &config); err != nil {
		// Triton knows more fields than our stubs.
		s.log.Warn("instances of a model stay as its configuration says", "config", path, "error", err)
		return "", nil
	}
	if config.Backend != "python" || len(config.InstanceGroup) > 0 {
		return "", nil
	}
	config.Name = model
	config.InstanceGroup = []*inference.ModelInstanceGroup{{
		Kind:  inference.ModelInstanceGroup_KIND_CPU,
		Count: int32(s.options.Instances),
	}}
	json, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(&config)
	if err != nil {
		return "", fmt.Errorf("configuration of %s: %w", model, err)
	}
	return string(json), nil
}
