package brought

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/modelrepo/onnx"
)

// match is an output of the file and what it is to the decoder.
type match struct {
	want   modelrepo.Want
	tensor onnx.Tensor
}

// anyDims are the dimensions of an output of whose shape the file says nothing.
func (m match) anyDims(batch bool) []int64 {
	dims := slices.Repeat([]int64{-1}, m.want.Rank)
	if m.want.Last > 0 {
		dims[m.want.Rank-1] = m.want.Last
	}
	if batch {
		dims = slices.Insert(dims, 0, -1)
	}
	return dims
}

var decoders = []modelrepo.Decoder{modelrepo.DecoderCandidates, modelrepo.DecoderTorchvision, modelrepo.DecoderDETR}

// outputs finds the outputs that the task needs, and for a detector without one, the decoder.
func (d *drafter) outputs() ([]match, error) {
	if d.draft.Task == modelrepo.TaskEmbedder {
		found, err := d.match(modelrepo.Wants(d.draft.Task, "", -1))
		if err != nil {
			return nil, fmt.Errorf("an embedder answers one vector a picture: %w", err)
		}
		if d.options.Space == "" {
			return nil, errors.New("an embedder needs --space, a name for the vectors that may be compared: a new one for every new network")
		}
		return found, nil
	}
	if d.draft.Decoder == "" {
		return d.findDecoder()
	}
	if !slices.Contains(decoders, d.draft.Decoder) {
		return nil, fmt.Errorf("there is no decoder %q: --decoder is %s", d.draft.Decoder, names(decoders))
	}
	found, err := d.match(modelrepo.Wants(d.draft.Task, d.draft.Decoder, -1))
	if err != nil {
		err = fmt.Errorf("--decoder %s does not fit: %w", d.draft.Decoder, err)
		for _, other := range decoders {
			if _, otherErr := d.match(modelrepo.Wants(d.draft.Task, other, -1)); otherErr == nil {
				err = fmt.Errorf("%w\nthey are such as --decoder %s takes", err, other)
			}
		}
		return nil, err
	}
	return found, d.labels(found)
}

// findDecoder takes the one decoder that the outputs fit, or of several the one whose names they have.
func (d *drafter) findDecoder() ([]match, error) {
	fitting := map[modelrepo.Decoder][]match{}
	var fit, named []modelrepo.Decoder
	for _, decoder := range decoders {
		found, err := d.match(modelrepo.Wants(modelrepo.TaskDetector, decoder, -1))
		if err != nil {
			continue
		}
		fitting[decoder], fit = found, append(fit, decoder)
		if !slices.ContainsFunc(found, func(m match) bool { return !tell(m.want.Role, m.tensor) }) {
			named = append(named, decoder)
		}
	}
	switch {
	case len(fit) == 0:
		return nil, fmt.Errorf("the outputs fit no decoder (%s) of a detector:\n%s\n(an embedder? --task embedder --space NAME)", names(decoders), list(d.file.Outputs))
	case len(fit) == 1:
		d.draft.Decoder = fit[0]
	case len(named) == 1:
		d.draft.Decoder = named[0]
	default:
		return nil, fmt.Errorf("say with --decoder which of %s it is, the outputs fit each:\n%s", names(fit), list(d.file.Outputs))
	}
	d.note("the outputs are such as the decoder %s takes (--decoder)", d.draft.Decoder)
	found := fitting[d.draft.Decoder]
	return found, d.labels(found)
}

// labels compares the names given with the classes of the outputs, where those tell.
func (d *drafter) labels(found []match) error {
	classes := int64(-1)
	for _, m := range found {
		if m.want.Role == modelrepo.RoleProbs || m.want.Role == modelrepo.RoleLogits {
			if dims := m.tensor.Dims; len(dims) > 0 && dims[len(dims)-1] > 0 {
				classes = dims[len(dims)-1] - 1
			}
		}
	}
	given := int64(len(d.options.Labels))
	switch {
	case given == 0 && classes > 0:
		return fmt.Errorf("a detector needs the names of its classes, background left out: --labels with %d names", classes)
	case given == 0:
		return errors.New("a detector needs the names of its classes, background left out: --labels painting,object")
	case classes >= 0 && classes != given:
		return fmt.Errorf("--labels gives %d names, but the network answers %d classes beside the background", given, classes)
	}
	return nil
}

// match finds an output for every want: the one named in the options, else the one of the role's name,
// else the only one of the right type and shape, else among those the only one whose name tells.
func (d *drafter) match(wants []modelrepo.Want) ([]match, error) {
	found := make([]match, len(wants))
	taken := map[string]bool{}
	for i, w := range wants {
		name, given := d.options.Outputs[w.Role]
		if !given {
			name = string(w.Role)
		}
		at := slices.IndexFunc(d.file.Outputs, func(t onnx.Tensor) bool { return t.Name == name })
		switch {
		case at >= 0 && fits(w, d.file.Outputs[at]):
			found[i], taken[name] = match{w, d.file.Outputs[at]}, true
		case given && at < 0:
			return nil, fmt.Errorf("there is no output %s for %s:\n%s", name, w.Role, list(d.file.Outputs))
		case given:
			return nil, fmt.Errorf("the output %s cannot be %s, which is %s", show(d.file.Outputs[at]), w.Role, describe(w))
		}
	}
	// Each that is found leaves fewer for the rest.
	for again := true; again; {
		again = false
		for i, w := range wants {
			if found[i].tensor.Name != "" || w.Optional {
				continue
			}
			if t, ok := only(w, d.file.Outputs, taken); ok {
				found[i], taken[t.Name], again = match{w, t}, true, true
			}
		}
	}
	for i, w := range wants {
		if found[i].tensor.Name == "" && !w.Optional {
			return nil, fmt.Errorf("%s %s cannot be told from the outputs (--outputs %s=NAME):\n%s", w.Role, describe(w), w.Role, list(d.file.Outputs))
		}
	}
	return slices.DeleteFunc(found, func(m match) bool { return m.tensor.Name == "" }), nil
}

// only returns the one output that can be w.
func only(w modelrepo.Want, outputs []onnx.Tensor, taken map[string]bool) (onnx.Tensor, bool) {
	var fitting, telling []onnx.Tensor
	for _, t := range outputs {
		if taken[t.Name] || !fits(w, t) {
			continue
		}
		fitting = append(fitting, t)
		if tell(w.Role, t) {
			telling = append(telling, t)
		}
	}
	switch {
	case len(fitting) == 1:
		return fitting[0], true
	case len(telling) == 1:
		return telling[0], true
	default:
		return onnx.Tensor{}, false
	}
}

// tells are parts of names that exporters give to outputs.
var tells = map[modelrepo.Role][]string{
	modelrepo.RoleBoxes:     {"box", "det"},
	modelrepo.RoleProbs:     {"prob"},
	modelrepo.RoleLabels:    {"label", "class"},
	modelrepo.RoleScores:    {"score", "conf"},
	modelrepo.RoleLogits:    {"logit", "class", "label"},
	modelrepo.RoleEmbedding: {"embed", "vector", "feature"},
}

// tell says whether an output is named for the role.
func tell(role modelrepo.Role, t onnx.Tensor) bool {
	name := strings.ToLower(t.Name)
	return name == string(role) || slices.ContainsFunc(tells[role], func(part string) bool { return strings.Contains(name, part) })
}

// fits tells whether an output can be w by its type and shape.
func fits(w modelrepo.Want, t onnx.Tensor) bool {
	if !slices.Contains(w.DTypes, t.DType) {
		return false
	}
	if t.Dims == nil {
		return true
	}
	dims := t.Dims
	if len(dims) == w.Rank+1 && (dims[0] == 1 || dims[0] == -1) {
		dims = dims[1:]
	}
	if len(dims) != w.Rank {
		return false
	}
	last := dims[w.Rank-1]
	return w.Last == 0 || last == -1 || last == w.Last
}

func describe(w modelrepo.Want) string {
	shape := "[n]"
	switch {
	case w.Rank == 2 && w.Last > 0:
		shape = fmt.Sprintf("[n %d]", w.Last)
	case w.Rank == 2:
		shape = "[n classes]"
	}
	return fmt.Sprintf("(%s %s)", w.DTypes[0], shape)
}

func show(t onnx.Tensor) string {
	dtype := string(t.DType)
	if dtype == "" {
		dtype = "of no tensor type"
	}
	if t.Dims == nil {
		return fmt.Sprintf("%s %s of a shape that the file does not tell", t.Name, dtype)
	}
	return fmt.Sprintf("%s %s %v", t.Name, dtype, t.Dims)
}

func list(tensors []onnx.Tensor) string {
	lines := make([]string, len(tensors))
	for i, t := range tensors {
		lines[i] = "  " + show(t)
	}
	return strings.Join(lines, "\n")
}

func names(decoders []modelrepo.Decoder) string {
	list := make([]string, len(decoders))
	for i, d := range decoders {
		list[i] = string(d)
	}
	return strings.Join(list, ", ")
}

// Report says in lines what was found out, and what was taken for granted.
func (d *Draft) Report() string {
	var text strings.Builder
	what := string(d.Decoder)
	if d.Task == modelrepo.TaskEmbedder {
		what = "one vector a picture"
	}
	fmt.Fprintf(&text, "  %-18s %s, sent as %v\n", "input:", show(d.Input), d.PictureDims)
	for i, o := range d.Outputs {
		head := ""
		if i == 0 {
			head = "outputs:"
		}
		fmt.Fprintf(&text, "  %-18s %s\n", head, show(o))
	}
	batch := "one picture a request"
	if d.MaxBatch > 0 {
		batch = fmt.Sprintf("up to %d pictures a request", d.MaxBatch)
	}
	fmt.Fprintf(&text, "  %-18s %s, %s, %s\n", "taken for:", d.Task, what, batch)
	for _, note := range d.Notes {
		fmt.Fprintf(&text, "  %-18s %s\n", "for granted:", note)
	}
	return text.String()
}
