package modelrepo

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"github.com/lexicam/lexicrop/triton/inference"
)

// The keys of a contract in the parameters of a Triton configuration.
const (
	keyTask    = "task"
	keyDecoder = "decoder"
	keyLabels  = "labels"
	keyOutputs = "outputs" // "role=NAME,…" where an output is not called as its role
	keyBoxes   = "boxes"
	keyUnits   = "box_units"
	keyLayout  = "layout"
	keySize    = "size" // where the input's dims are free
	keyResize  = "resize"
	keyPad     = "pad"
	keyAlign   = "align"
	keyFilter  = "filter"
	keyScale   = "scale"
	keySpace   = "space"

	// KeyFingerprint holds the fingerprint itself and does not count into it.
	KeyFingerprint = "fingerprint"
)

// contractKeys are the parameters that count into a fingerprint, sorted. All
// others are a backend's own business and may differ between profiles.
var contractKeys = []string{
	keyAlign, keyUnits, keyBoxes, keyDecoder, keyFilter, keyLabels, keyLayout, keyOutputs,
	keyPad, keyResize, keyScale, keySize, keySpace, keyTask,
}

// Fingerprint identifies a model: the sha256, as hexadecimal digits, of the
// line "file=" and the sha256 of the model file, then a line "key=value" for
// each contract parameter that config has, sorted by key.
func Fingerprint(model io.Reader, config *inference.ModelConfig) (string, error) {
	file := sha256.New()
	if _, err := io.Copy(file, model); err != nil {
		return "", fmt.Errorf("fingerprint of %s: %w", config.GetName(), err)
	}
	all := sha256.New()
	fmt.Fprintf(all, "file=%x\n", file.Sum(nil))
	for _, key := range contractKeys {
		if p, ok := config.GetParameters()[key]; ok {
			fmt.Fprintf(all, "%s=%s\n", key, p.GetStringValue())
		}
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

func isContractKey(key string) bool {
	return key == KeyFingerprint || slices.Contains(contractKeys, key)
}
