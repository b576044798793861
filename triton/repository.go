package triton

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

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

// ModelReadyEverywhere says whether a model can be asked at every replica that is
// connected or connecting, where ModelReady asks any one.
func (c *Client) ModelReadyEverywhere(ctx context.Context, model, version string) (bool, error) {
	everywhere := true
	err := everyReplica(ctx, func(ctx context.Context) error {
		ready, err := c.ModelReady(ctx, model, version)
		everywhere = everywhere && (ready || err != nil)
		return err
	})
	return everywhere && err == nil, err
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
// failure ends it. Which versions are loaded says the model's own configuration;
// but Triton leaves a model that is loaded as it is, in the versions that it was
// loaded in, as long as its files are the same. It answers until its successor is
// ready, and goes on when that fails.
func (c *Client) Load(ctx context.Context, model string) error {
	config, err := c.ownConfig(model)
	if err != nil {
		return err
	}
	return c.load(ctx, model, config)
}

// LoadVersions is Load with these versions of a model and no others, whatever
// its own configuration says; none means all. Triton leaves out in silence what
// is not there, unless nothing is left.
//
// To say so it has to send Triton the whole configuration. Where Options.LoadConfig
// has none it takes the one of the loaded model, for which a model that is not
// loaded is loaded first as its own configuration says.
func (c *Client) LoadVersions(ctx context.Context, model string, versions ...string) error {
	own, err := c.ownConfig(model)
	if err != nil {
		return err
	}
	var config *inference.ModelConfig
	if own == "" {
		config, err = c.loadedConfig(ctx, model)
	} else {
		config = &inference.ModelConfig{}
		err = protojson.Unmarshal([]byte(own), config)
	}
	if err != nil {
		return &Error{Kind: Internal, Op: "load", Model: model, Err: fmt.Errorf("reading its configuration to choose versions: %w", err)}
	}
	config.VersionPolicy, err = versionPolicy(versions)
	if err != nil {
		return &Error{Kind: InvalidRequest, Op: "load", Model: model, Err: err}
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(config)
	if err != nil {
		return &Error{Kind: Internal, Op: "load", Model: model, Err: err}
	}
	return c.load(ctx, model, string(text))
}

func versionPolicy(versions []string) (*inference.ModelVersionPolicy, error) {
	if len(versions) == 0 {
		return &inference.ModelVersionPolicy{PolicyChoice: &inference.ModelVersionPolicy_All_{All: &inference.ModelVersionPolicy_All{}}}, nil
	}
	specific := &inference.ModelVersionPolicy_Specific{}
	for _, text := range versions {
		number, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("version %q: %w", text, err)
		}
		specific.Versions = append(specific.Versions, number)
	}
	return &inference.ModelVersionPolicy{PolicyChoice: &inference.ModelVersionPolicy_Specific_{Specific: specific}}, nil
}

// ownConfig is what Options.LoadConfig says of a model.
func (c *Client) ownConfig(model string) (string, error) {
	if c.loadConfig == nil {
		return "", nil
	}
	config, err := c.loadConfig(model)
	if err != nil {
		return "", &Error{Kind: Internal, Op: "load", Model: model, Err: err}
	}
	return config, nil
}

// loadedConfig returns the configuration of a model as it is loaded, and has it
// loaded for that where it is not.
func (c *Client) loadedConfig(ctx context.Context, model string) (*inference.ModelConfig, error) {
	config, err := c.ModelConfig(ctx, model, "")
	if kind, _ := KindOf(err); err != nil && kind == NotReady {
		if err := c.load(ctx, model, ""); err != nil {
			return nil, err
		}
		config, err = c.ModelConfig(ctx, model, "")
	}
	if err != nil {
		return nil, err
	}
	if field := unknownField(config.ProtoReflect()); field != "" {
		return nil, fmt.Errorf("%s has settings that lexicrop does not know and would lose: set version_policy in the model's own configuration", field)
	}
	return config, nil
}

// unknownField names a message that holds fields which are not in our protocol files, or is empty.
func unknownField(m protoreflect.Message) (name string) {
	if len(m.GetUnknown()) > 0 {
		return string(m.Descriptor().Name())
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.Message() == nil:
		case field.IsList():
			for i := 0; i < value.List().Len() && name == ""; i++ {
				name = unknownField(value.List().Get(i).Message())
			}
		case field.IsMap():
			if field.MapValue().Message() == nil {
				break
			}
			value.Map().Range(func(_ protoreflect.MapKey, entry protoreflect.Value) bool {
				name = unknownField(entry.Message())
				return name == ""
			})
		default:
			name = unknownField(value.Message())
		}
		return name == ""
	})
	return name
}

// load loads a model by the given configuration, or by the repository's when that is empty.
func (c *Client) load(ctx context.Context, model, config string) error {
	request := &inference.RepositoryModelLoadRequest{ModelName: model}
	if config != "" {
		request.Parameters = map[string]*inference.ModelRepositoryParameter{
			"config": {ParameterChoice: &inference.ModelRepositoryParameter_StringParam{StringParam: config}},
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
