package modelrepo

import (
	"slices"
	"strings"

	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/inference"
)

// Want is what a model's outputs must have, for one picture.
type Want struct {
	Role   Role
	DTypes []triton.DType
	// Rank is the number of dimensions, the batch left out; Last is the size of
	// the last of two, 0 where any will do.
	Rank     int
	Last     int64
	Optional bool
}

// Wants says what the outputs of a model must be. labels is how many a detector
// has, -1 where that is not known.
func Wants(task Task, decoder Decoder, labels int) []Want {
	float := []triton.DType{triton.FP32, triton.FP16}
	boxes := Want{Role: RoleBoxes, DTypes: float, Rank: 2, Last: 4}
	classes := int64(labels + 1)
	switch {
	case task == TaskEmbedder:
		return []Want{{Role: RoleEmbedding, DTypes: float, Rank: 1}}
	case decoder == DecoderCandidates:
		return []Want{
			boxes,
			{Role: RoleProbs, DTypes: float, Rank: 2, Last: classes},
			{Role: RoleSalience, DTypes: float, Rank: 1, Optional: true},
		}
	case decoder == DecoderTorchvision:
		return []Want{
			boxes,
			{Role: RoleLabels, DTypes: []triton.DType{triton.Int64, triton.Int32}, Rank: 1},
			{Role: RoleScores, DTypes: float, Rank: 1},
		}
	case decoder == DecoderDETR:
		return []Want{boxes, {Role: RoleLogits, DTypes: float, Rank: 2, Last: classes}}
	default:
		return nil
	}
}

func (r *reader) detectorOutputs(c *Contract) {
	candidates := int64(-1)
	for _, w := range Wants(c.Task, c.Decoder, len(c.Labels)) {
		spec, ok := r.output(w)
		if !ok {
			continue
		}
		c.Roles = append(c.Roles, w.Role)
		c.Outputs = append(c.Outputs, spec)
		n := spec.Shape[len(spec.Shape)-w.Rank]
		if candidates != -1 && n != -1 && n != candidates {
			r.fault("output %s has %d candidates where another has %d", spec.Name, n, candidates)
		}
		candidates = max(candidates, n)
	}
}

func (r *reader) embedding(c *Contract) {
	spec, ok := r.output(Wants(TaskEmbedder, "", 0)[0])
	if !ok {
		return
	}
	c.Roles, c.Outputs = []Role{RoleEmbedding}, []triton.TensorSpec{spec}
	c.Dimensions = int(spec.Shape[len(spec.Shape)-1])
	if c.Dimensions < 1 {
		r.fault("output %s has a free dimension: a vector's length must be fixed", spec.Name)
	}
}

// output finds the tensor of a role and checks it.
func (r *reader) output(w Want) (triton.TensorSpec, bool) {
	name := r.outputName(w.Role)
	i := slices.IndexFunc(r.config.Output, func(o *inference.ModelOutput) bool { return o.Name == name })
	if i < 0 {
		if !w.Optional {
			r.fault("there is no output %s (if it has another name: parameter %s, \"%s=NAME\")", name, keyOutputs, w.Role)
		}
		return triton.TensorSpec{}, false
	}
	tensor := r.config.Output[i]
	spec := triton.TensorSpec{Name: name, DType: triton.DTypeOf(tensor.DataType)}
	if !slices.Contains(w.DTypes, spec.DType) {
		r.fault("output %s is of %s: it must be %s", name, tensor.DataType, w.DTypes[0])
	}
	dims := tensor.Dims
	batched := r.config.MaxBatchSize > 0
	// Without max_batch_size the dims may have a batch dimension of their own.
	if !batched && len(dims) == w.Rank+1 && (dims[0] == 1 || dims[0] == -1) {
		batched, dims = true, dims[1:]
	}
	if len(dims) != w.Rank {
		r.fault("output %s has dims %v: %d are needed, the batch left out", name, tensor.Dims, w.Rank)
		return triton.TensorSpec{}, false
	}
	if last := dims[w.Rank-1]; w.Last != 0 && last != -1 && last != w.Last {
		r.fault("output %s has dims %v: the last must be %d", name, tensor.Dims, w.Last)
	}
	spec.Shape = slices.Clone(dims)
	if w.Last != 0 {
		spec.Shape[w.Rank-1] = w.Last // -1 means less than the decoder knows
	}
	if batched {
		spec.Shape = slices.Insert(spec.Shape, 0, 1)
	}
	return spec, true
}

// outputName is the role's own name, unless the parameter gives another.
func (r *reader) outputName(role Role) string {
	for pair := range strings.SplitSeq(r.parameter(keyOutputs), ",") {
		if left, name, ok := strings.Cut(pair, "="); ok && strings.TrimSpace(left) == string(role) {
			return strings.TrimSpace(name)
		}
	}
	return string(role)
}
