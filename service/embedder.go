package service

import (
	"context"
	"fmt"
	"math"

	"github.com/lexicam/lexicrop/index"
	"github.com/lexicam/lexicrop/modelrepo"
	"github.com/lexicam/lexicrop/triton"
)

// embedder is a network that turns a picture of a work into a vector.
type embedder struct{ *network }

func openEmbedder(ctx context.Context, client *triton.Client, name ModelName, m *metrics) (*embedder, error) {
	n, err := openNetwork(ctx, client, name, modelrepo.TaskEmbedder, m, func(n *network, r *triton.Response) error {
		_, err := (&embedder{n}).decode(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &embedder{n}, nil
}

// space is where its vectors can be compared.
func (e *embedder) space() index.Space {
	return index.Space{Name: e.contract.Space, Fingerprint: e.contract.Fingerprint, Dimension: e.contract.Dimensions}
}

// embed asks the network. tensor is one picture, uint8, [height, width, 3], RGB. The vector has length 1.
// version is the one that answered.
func (e *embedder) embed(ctx context.Context, tensor []byte) (version string, vector []float32, err error) {
	response, err := e.infer(ctx, tensor)
	if err != nil {
		return "", nil, err
	}
	vector, err = e.decode(response)
	if err != nil {
		return "", nil, e.unusable(err)
	}
	return response.Version, vector, nil
}

// decode returns the vector of one picture, normalised: not every network does it to the last digit.
func (e *embedder) decode(r *triton.Response) ([]float32, error) {
	outputs := roles{contract: &e.contract, response: r}
	vector := outputs.float32s(modelrepo.RoleEmbedding)
	if outputs.err != nil {
		return nil, outputs.err
	}
	if len(vector) != e.contract.Dimensions {
		return nil, fmt.Errorf("a vector of %d values, the contract says %d", len(vector), e.contract.Dimensions)
	}
	var sum float64
	for _, x := range vector {
		sum += float64(x) * float64(x)
	}
	length := math.Sqrt(sum)
	if !(length > 0) || math.IsInf(length, 0) {
		return nil, fmt.Errorf("a vector of length %v has no direction", length)
	}
	for i := range vector {
		vector[i] = float32(float64(vector[i]) / length)
	}
	return vector, nil
}
