package triton

import (
	"context"
	"errors"

	"google.golang.org/grpc"

	"github.com/lexicam/lexicrop/triton/inference"
)

// ServerReady says whether a Triton is up and every model that it was started
// with is ready.
func (c *Client) ServerReady(ctx context.Context) (bool, error) {
	answer, err := c.stub.ServerReady(c.outgoing(ctx), &inference.ServerReadyRequest{})
	if err != nil {
		return false, failure(ctx, "server ready", "", err)
	}
	return answer.Ready, nil
}

// ServerMetadata returns name and version of a Triton.
func (c *Client) ServerMetadata(ctx context.Context) (name, version string, err error) {
	answer, err := c.stub.ServerMetadata(c.outgoing(ctx), &inference.ServerMetadataRequest{})
	if err != nil {
		return "", "", failure(ctx, "server metadata", "", err)
	}
	return answer.Name, answer.Version, nil
}

// ModelReady says whether a model can be asked; an empty version means any. An
// unknown model is not an error but not ready.
func (c *Client) ModelReady(ctx context.Context, model, version string) (bool, error) {
	answer, err := c.stub.ModelReady(c.outgoing(ctx), &inference.ModelReadyRequest{Name: model, Version: version})
	if err != nil {
		failed := failure(ctx, "model ready", model, err)
		if failed.Kind == NotReady {
			return false, nil
		}
		return false, failed
	}
	return answer.Ready, nil
}

// ModelConfig returns the configuration of a loaded model, as completed by
// Triton.
func (c *Client) ModelConfig(ctx context.Context, model, version string) (*inference.ModelConfig, error) {
	answer, err := c.stub.ModelConfig(c.outgoing(ctx), &inference.ModelConfigRequest{Name: model, Version: version},
		grpc.MaxCallRecvMsgSize(c.maxResponseBytes))
	if err != nil {
		return nil, failure(ctx, "model config", model, err)
	}
	return answer.Config, nil
}

// ModelState is one version of a model as a Triton's repository index has it.
type ModelState struct {
	Name    string
	Version string // empty while the model was never loaded
	State   string // READY, LOADING, UNLOADING, UNAVAILABLE or empty
	Reason  string // why it is unavailable
}

// Index lists the models in the repository of one replica, loaded or not.
func (c *Client) Index(ctx context.Context) ([]ModelState, error) {
	answer, err := c.stub.RepositoryIndex(c.outgoing(ctx), &inference.RepositoryIndexRequest{},
		grpc.MaxCallRecvMsgSize(c.maxResponseBytes))
	if err != nil {
		return nil, failure(ctx, "repository index", "", err)
	}
	states := make([]ModelState, len(answer.Models))
	for i, m := range answer.Models {
		states[i] = ModelState{Name: m.Name, Version: m.Version, State: m.State, Reason: m.Reason}
	}
	return states, nil
}

// Load loads a model at every replica that is connected, or loads it again when
// its files have changed; it returns when the model is ready there. The first
// failure ends it.
func (c *Client) Load(ctx context.Context, model string) error {
	request := &inference.RepositoryModelLoadRequest{ModelName: model}
	if c.loadConfig != nil {
		config, err := c.loadConfig(model)
		if err != nil {
			return &Error{Kind: Internal, Op: "load", Model: model, Err: err}
		}
		if config != "" {
			request.Parameters = map[string]*inference.ModelRepositoryParameter{
				"config": {ParameterChoice: &inference.ModelRepositoryParameter_StringParam{StringParam: config}},
			}
		}
	}
	err := everyReplica(c.outgoing(ctx), func(ctx context.Context) error {
		_, err := c.stub.RepositoryModelLoad(ctx, request)
		return err
	})
	if err != nil {
		failed := failure(ctx, "load", model, err)
		// Triton calls a load that a broken model fails an invalid argument,
		// which this request is not.
		if failed.Kind == InvalidRequest {
			failed.Kind = Internal
		}
		return failed
	}
	return nil
}

// Unload unloads a model at every replica that is connected. Triton answers at
// once and unloads when the requests under way are done (UNLOADING in Index).
func (c *Client) Unload(ctx context.Context, model string) error {
	request := &inference.RepositoryModelUnloadRequest{ModelName: model}
	err := everyReplica(c.outgoing(ctx), func(ctx context.Context) error {
		_, err := c.stub.RepositoryModelUnload(ctx, request)
		return err
	})
	if err != nil {
		return failure(ctx, "unload", model, err)
	}
	return nil
}

// Statistics returns a model's counters since it was loaded, of one replica.
func (c *Client) Statistics(ctx context.Context, model string) (*inference.ModelStatistics, error) {
	answer, err := c.stub.ModelStatistics(c.outgoing(ctx), &inference.ModelStatisticsRequest{Name: model})
	if err != nil {
		return nil, failure(ctx, "statistics", model, err)
	}
	if len(answer.ModelStats) == 0 {
		return nil, &Error{Kind: NotReady, Op: "statistics", Model: model, Err: errors.New("no statistics")}
	}
	return answer.ModelStats[0], nil
}
