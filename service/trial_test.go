package service

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/inference"
	"github.com/lexicam/lexicrop/triton/tritontest"
)

// What a network answers, whose contract says otherwise: faults are found, and nothing else is taken
// for one.
func TestJudge(t *testing.T) {
	nan := float32(math.NaN())
	boxes, probs := []float32{10, 20, 100, 200, 0, 0, 300, 310}, []float32{0.1, 0.7, 0.2, 0.98, 0.01, 0.01}
	xyxy := modelrepo.BoxFormat{Order: modelrepo.BoxXYXY, Units: modelrepo.BoxPixels}
	relative := modelrepo.BoxFormat{Order: modelrepo.BoxXYXY, Units: modelrepo.BoxRelative}
	type tensors = map[modelrepo.Role]any
	for _, test := range []struct {
		name    string
		decoder modelrepo.Decoder
		format  modelrepo.BoxFormat
		answer  tensors
		fault   string
		doubt   string
	}{
		{"candidates", modelrepo.DecoderCandidates, xyxy, tensors{"boxes": boxes, "probs": probs, "salience": []float32{0.5, 1}}, "", ""},
		{"logits for probs", modelrepo.DecoderCandidates, xyxy, tensors{"boxes": boxes, "probs": []float32{-1, 3, 0.5, 2, 2, 2}}, "no probabilities", ""},
		{"a sigmoid for each class", modelrepo.DecoderCandidates, xyxy, tensors{"boxes": boxes, "probs": []float32{0.9, 0.8, 0.7, 0, 0, 0.1}}, "2.4 together", ""},
		{"salience of any size", modelrepo.DecoderCandidates, xyxy, tensors{"boxes": boxes, "probs": probs, "salience": []float32{7, 0}}, "salience are not between", ""},
		{"no numbers", modelrepo.DecoderCandidates, xyxy, tensors{"boxes": []float32{nan, 0, 1, 1, 0, 0, 9, 9}, "probs": probs}, "no numbers", ""},
		{"relative boxes", modelrepo.DecoderCandidates, xyxy, tensors{"boxes": []float32{0.1, 0.2, 0.5, 0.9, 0, 0, 1, 1}, "probs": probs}, "are they relative?", ""},
		{"relative boxes that are said to be", modelrepo.DecoderCandidates, relative, tensors{"boxes": []float32{0.1, 0.2, 0.5, 0.9, 0, 0, 1, 1}, "probs": probs}, "", ""},
		{"pixels that are said to be relative", modelrepo.DecoderCandidates, relative, tensors{"boxes": boxes, "probs": probs}, "are they in pixels?", ""},
		{"sizes in place of corners", modelrepo.DecoderCandidates, xyxy, tensors{"boxes": []float32{100, 100, 50, 60, 200, 200, 80, 90}, "probs": probs}, "end before they begin", ""},
		{"torchvision", modelrepo.DecoderTorchvision, xyxy, tensors{"boxes": boxes, "labels": []int64{2, 1}, "scores": []float32{0.9, 0.1}}, "", ""},
		{"torchvision without detections", modelrepo.DecoderTorchvision, xyxy, tensors{"boxes": []float32{}, "labels": []int64{}, "scores": []float32{}}, "", ""},
		{"a label too many", modelrepo.DecoderTorchvision, xyxy, tensors{"boxes": boxes, "labels": []int64{2, 17}, "scores": []float32{0.9, 0.1}}, "", "labels [17], but only 1 to 2"},
		{"only other labels", modelrepo.DecoderTorchvision, xyxy, tensors{"boxes": boxes, "labels": []int64{0, 17}, "scores": []float32{0.9, 0.1}}, "labels are [0 17]", ""},
		{"scores that are logits", modelrepo.DecoderTorchvision, xyxy, tensors{"boxes": boxes, "labels": []int64{2, 1}, "scores": []float32{3, 0.1}}, "scores are not between", ""},
		{"DETR", modelrepo.DecoderDETR, modelrepo.BoxFormat{Order: modelrepo.BoxCXCYWH, Units: modelrepo.BoxRelative}, tensors{"boxes": []float32{0.5, 0.5, 0.2, 0.2}, "logits": []float32{-5, 3, 9}}, "", ""},
	} {
		c := &modelrepo.Contract{Decoder: test.decoder, Boxes: test.format, Labels: []string{"a", "b"}, Input: modelrepo.Input{Width: 320, Height: 320}}
		r := &triton.Response{}
		for role, values := range test.answer {
			c.Roles = append(c.Roles, role)
			r.Outputs = append(r.Outputs, tensorOf(string(role), values))
		}
		faults, doubts := judge(c, r)
		for what, got := range map[string]struct {
			err  error
			want string
		}{"fault": {errors.Join(faults...), test.fault}, "doubt": {errors.Join(doubts...), test.doubt}} {
			if (got.err != nil) != (got.want != "") || got.err != nil && !strings.Contains(got.err.Error(), got.want) {
				t.Errorf("%s: the %s is %v, want %q", test.name, what, got.err, got.want)
			}
		}
	}
}

func tensorOf(name string, values any) triton.Tensor {
	if labels, ok := values.([]int64); ok {
		data := []byte{}
		for _, l := range labels {
			data = binary.LittleEndian.AppendUint64(data, uint64(l))
		}
		return triton.Tensor{Name: name, DType: triton.Int64, Shape: []int64{int64(len(labels))}, Data: data}
	}
	floats := values.([]float32)
	return tritontest.Float32s(name, floats, int64(len(floats)))
}

// dialFake returns a client of a Triton that has this model.
func dialFake(t *testing.T, m tritontest.Model) *triton.Client {
	t.Helper()
	client, err := triton.Dial(triton.Options{Address: tritontest.New(t, m).Address()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestTryADetector(t *testing.T) {
	// It sees something wherever there is light, and a box that nobody believes in everywhere.
	model := tritontest.DetectorFunc("detector", func(picture []byte) []tritontest.Candidate {
		seen := []tritontest.Candidate{{Box: [4]float32{0, 0, 320, 320}, Probs: []float32{0.99, 0.01, 0}, Salience: 0.1}}
		if picture[160*320*3+160*3] != 114 {
			seen = append(seen, tritontest.Candidate{Box: [4]float32{80, 90, 220, 190}, Probs: []float32{0.1, 0.9, 0}, Salience: 0.9})
		}
		return seen
	})
	trial, err := Try(t.Context(), dialFake(t, model), ModelName{Name: "detector"})
	if err != nil {
		t.Fatal(err)
	}
	if len(trial.Blank) != 0 || len(trial.Reference) != 1 || trial.Reference[0].Label != "painting" || len(trial.Doubts) != 0 || trial.Version != "1" || trial.Median <= 0 {
		t.Errorf("%+v", trial)
	}
}

func TestTryDoubtsWhatIsAnsweredDifferentlyInCompany(t *testing.T) {
	model := tritontest.Detector("detector", tritontest.Candidate{Box: [4]float32{80, 90, 220, 190}, Probs: []float32{0.1, 0.9, 0}, Salience: 0.9})
	alone := model.Infer
	model.Infer = func(ctx context.Context, inputs []triton.Tensor) ([]triton.Tensor, error) {
		outputs, err := alone(ctx, inputs)
		if err == nil && inputs[0].Shape[0] > 1 {
			boxes := outputs[0].Data
			binary.LittleEndian.PutUint32(boxes[len(boxes)/2:], math.Float32bits(0))
		}
		return outputs, err
	}
	trial, err := Try(t.Context(), dialFake(t, model), ModelName{Name: "detector"})
	if err != nil || len(trial.Doubts) != 1 || !strings.Contains(trial.Doubts[0], "output boxes by up to 80") {
		t.Errorf("%+v, %v", trial, err)
	}
	model.Infer = func(ctx context.Context, inputs []triton.Tensor) ([]triton.Tensor, error) {
		if inputs[0].Shape[0] > 1 {
			return nil, errors.New("the reshape wants one picture")
		}
		return alone(ctx, inputs)
	}
	if _, err := Try(t.Context(), dialFake(t, model), ModelName{Name: "detector"}); err == nil || !strings.Contains(err.Error(), "max_batch_size") {
		t.Errorf("a batch that fails: %v", err)
	}
}

func TestTryRefusesAnswersThatTheContractDoesNotAllow(t *testing.T) {
	model := tritontest.Detector("detector", tritontest.Candidate{Box: [4]float32{0.1, 0.1, 0.5, 0.5}, Probs: []float32{0.1, 5, 0}})
	if _, err := Try(t.Context(), dialFake(t, model), ModelName{Name: "detector"}); err == nil || !strings.Contains(err.Error(), "no probabilities") {
		t.Errorf("the error is %v", err)
	}
}

func TestTryAnEmbedder(t *testing.T) {
	config := tritontest.DetectorConfig("embedder")
	config.Output = []*inference.ModelOutput{{Name: "embedding", DataType: inference.DataType_TYPE_FP32, Dims: []int64{2}}}
	config.Parameters["task"].StringValue = "embedder"
	config.Parameters["space"] = &inference.ModelParameter{StringValue: "s"}
	delete(config.Parameters, "decoder")
	delete(config.Parameters, "labels")
	blind := false
	model := tritontest.Model{Name: "embedder", Config: config, Infer: func(_ context.Context, inputs []triton.Tensor) ([]triton.Tensor, error) {
		var values []float32
		for picture := inputs[0].Data; len(picture) > 0; picture = picture[320*320*3:] {
			bright := float32(picture[(160*320+160)*3]) - 114
			if blind {
				bright = 3
			}
			values = append(values, 4, bright)
		}
		return []triton.Tensor{tritontest.Float32s("embedding", values, inputs[0].Shape[0], 2)}, nil
	}}
	trial, err := Try(t.Context(), dialFake(t, model), ModelName{Name: "embedder"})
	if err != nil || len(trial.Doubts) != 0 || !(trial.Length > 4) {
		t.Errorf("%+v, %v", trial, err)
	}
	blind = true
	trial, err = Try(t.Context(), dialFake(t, model), ModelName{Name: "embedder"})
	if err != nil || len(trial.Doubts) != 1 || math.Abs(trial.Length-5) > 1e-6 {
		t.Errorf("%+v, %v", trial, err)
	}
}
