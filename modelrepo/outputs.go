package modelrepo

import (
	"slices"
	"strings"

	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/inference"
)

// wanted is what a decoder needs of one output, for one picture.
type wanted struct {
	role     Role
	dtypes   []triton.DType
	last     int64 // size of the last dimension when rank is 2; 0: any
	rank     int
	optional bool
}

func (d Decoder) wants(labels int) []wanted {
	float := []triton.DType{triton.FP32, triton.FP16}
	boxes := wanted{role: RoleBoxes, dtypes: float, rank: 2, last: 4}
	classes := int64(labels + 1)
	switch d {
	case DecoderCandidates:
		return []wanted{
			boxes,
			{role: RoleProbs, dtypes: float, rank: 2, last: classes},
			{role: RoleSalience, dtypes: float, rank: 1, optional: true},
		}
	case DecoderTorchvision:
		return []wanted{
			boxes,
			{role: RoleLabels, dtypes: []triton.DType{triton.Int64, triton.Int32}, rank: 1},
			{role: RoleScores, dtypes: float, rank: 1},
		}
	case DecoderDETR:
		return []wanted{boxes, {role: RoleLogits, dtypes: float, rank: 2, last: classes}}
	default:
		return nil
	}
}

func (r *reader) detectorOutputs(c *Contract) {
	candidates := int64(-1)
	for _, w := range c.Decoder.wants(len(c.Labels)) {
		spec, ok := r.output(w)
		if !ok {
			continue
		}
		c.Roles = append(c.Roles, w.role)
		c.Outputs = append(c.Outputs, spec)
		n := spec.Shape[len(spec.Shape)-w.rank]
		if candidates != -1 && n != -1 && n != candidates {
			r.fault("output %s has %d candidates where another has %d", spec.Name, n, candidates)
		}
		candidates = max(candidates, n)
	}
}

func (r *reader) embedding(c *Contract) {
	spec, ok := r.output(wanted{role: RoleEmbedding, dtypes: []triton.DType{triton.FP32, triton.FP16}, rank: 1})
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
func (r *reader) output(w wanted) (triton.TensorSpec, bool) {
	name := r.outputName(w.role)
	i := slices.IndexFunc(r.config.Output, func(o *inference.ModelOutput) bool { return o.Name == name })
	if i < 0 {
		if !w.optional {
			r.fault("there is no output %s (if it has another name: parameter %s, \"%s=NAME\")", name, keyOutputs, w.role)
		}
		return triton.TensorSpec{}, false
	}
	tensor := r.config.Output[i]
	spec := triton.TensorSpec{Name: name, DType: triton.DTypeOf(tensor.DataType)}
	if !slices.Contains(w.dtypes, spec.DType) {
		r.fault("output %s is of %s: it must be %s", name, tensor.DataType, w.dtypes[0])
	}
	dims := tensor.Dims
	batched := r.config.MaxBatchSize > 0
	// Without max_batch_size the dims may have a batch dimension of their own.
	if !batched && len(dims) == w.rank+1 && (dims[0] == 1 || dims[0] == -1) {
		batched, dims = true, dims[1:]
	}
	if len(dims) != w.rank {
		r.fault("output %s has dims %v: %d are needed, the batch left out", name, tensor.Dims, w.rank)
		return triton.TensorSpec{}, false
	}
	if last := dims[w.rank-1]; w.last != 0 && last != -1 && last != w.last {
		r.fault("output %s has dims %v: the last must be %d", name, tensor.Dims, w.last)
	}
	spec.Shape = slices.Clone(dims)
	if w.last != 0 {
		spec.Shape[w.rank-1] = w.last // -1 means less than the decoder knows
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
