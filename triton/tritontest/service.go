package tritontest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/lexicam/lexicrop/triton"
	"github.com/lexicam/lexicrop/triton/inference"
)

// ServerLive implements the protocol.
func (s *Server) ServerLive(context.Context, *inference.ServerLiveRequest) (*inference.ServerLiveResponse, error) {
	return &inference.ServerLiveResponse{Live: true}, nil
}

// ServerReady implements the protocol.
func (s *Server) ServerReady(context.Context, *inference.ServerReadyRequest) (*inference.ServerReadyResponse, error) {
	return &inference.ServerReadyResponse{Ready: true}, nil
}

// ServerMetadata implements the protocol.
func (s *Server) ServerMetadata(context.Context, *inference.ServerMetadataRequest) (*inference.ServerMetadataResponse, error) {
	return &inference.ServerMetadataResponse{Name: "tritontest", Version: "2.51.0"}, nil
}

// ModelReady implements the protocol.
func (s *Server) ModelReady(_ context.Context, r *inference.ModelReadyRequest) (*inference.ModelReadyResponse, error) {
	_, err := s.loadedModel(r.Name, r.Version)
	return &inference.ModelReadyResponse{Ready: err == nil}, nil
}

// ModelConfig implements the protocol.
func (s *Server) ModelConfig(_ context.Context, r *inference.ModelConfigRequest) (*inference.ModelConfigResponse, error) {
	m, err := s.loadedModel(r.Name, r.Version)
	if err != nil {
		return nil, err
	}
	return &inference.ModelConfigResponse{Config: m.Config}, nil
}

// ModelStatistics implements the protocol.
func (s *Server) ModelStatistics(_ context.Context, r *inference.ModelStatisticsRequest) (*inference.ModelStatisticsResponse, error) {
	m, err := s.loadedModel(r.Name, r.Version)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "requested model '%s' is not available", r.Name)
	}
	n := uint64(s.Counts(r.Name).Inferences)
	return &inference.ModelStatisticsResponse{ModelStats: []*inference.ModelStatistics{{
		Name: m.Name, Version: m.Version, InferenceCount: n, ExecutionCount: n,
	}}}, nil
}

// RepositoryIndex implements the protocol.
func (s *Server) RepositoryIndex(_ context.Context, r *inference.RepositoryIndexRequest) (*inference.RepositoryIndexResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	answer := &inference.RepositoryIndexResponse{}
	for _, m := range s.models {
		entry := &inference.RepositoryIndexResponse_ModelIndex{Name: m.Name, Version: m.Version}
		switch {
		case m.loading:
			entry.State = "LOADING"
		case m.unloading:
			entry.State = "UNLOADING"
		case m.loaded:
			entry.State = "READY"
		case m.loads == 0:
			entry.Version = "" // never loaded: only the folder is known
		case m.LoadError != "":
			entry.State, entry.Reason = "UNAVAILABLE", m.LoadError
		default:
			entry.State, entry.Reason = "UNAVAILABLE", "unloaded"
		}
		if !r.Ready || entry.State == "READY" {
			answer.Models = append(answer.Models, entry)
		}
	}
	slices.SortFunc(answer.Models, func(a, b *inference.RepositoryIndexResponse_ModelIndex) int {
		return cmp.Compare(a.Name, b.Name)
	})
	return answer, nil
}

// RepositoryModelLoad implements the protocol.
func (s *Server) RepositoryModelLoad(ctx context.Context, r *inference.RepositoryModelLoadRequest) (*inference.RepositoryModelLoadResponse, error) {
	s.mu.Lock()
	m := s.models[r.ModelName]
	if m == nil {
		s.mu.Unlock()
		return nil, status.Errorf(codes.Internal, "failed to load '%s', failed to poll from model repository", r.ModelName)
	}
	m.loads++
	m.loading = true
	s.mu.Unlock()
	err := wait(ctx, m.LoadDelay)
	s.mu.Lock()
	defer s.mu.Unlock()
	m.loading = false
	if err != nil {
		return nil, err
	}
	if m.LoadError != "" {
		return nil, status.Errorf(codes.InvalidArgument, "load failed for model '%s': version %s is at UNAVAILABLE state: %s;", m.Name, m.Version, m.LoadError)
	}
	m.loaded = true
	return &inference.RepositoryModelLoadResponse{}, nil
}

// RepositoryModelUnload implements the protocol.
func (s *Server) RepositoryModelUnload(_ context.Context, r *inference.RepositoryModelUnloadRequest) (*inference.RepositoryModelUnloadResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.models[r.ModelName]
	if m == nil {
		return &inference.RepositoryModelUnloadResponse{}, nil
	}
	m.unloads++
	m.loaded = false
	if m.UnloadDelay > 0 {
		m.unloading = true
		time.AfterFunc(m.UnloadDelay, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			m.unloading = false
		})
	}
	return &inference.RepositoryModelUnloadResponse{}, nil
}

// ModelInfer implements the protocol.
func (s *Server) ModelInfer(ctx context.Context, r *inference.ModelInferRequest) (*inference.ModelInferResponse, error) {
	fault := s.beginInference(ctx, r.ModelName)
	if err := wait(ctx, fault.Delay); err != nil {
		return nil, err
	}
	switch {
	case fault.Hang:
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	case fault.Disconnect:
		go s.dropConnections()
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	case fault.Err != nil:
		return nil, fault.Err
	}
	m, err := s.loadedModel(r.ModelName, r.ModelVersion)
	if err != nil {
		return nil, err
	}
	inputs, err := inputsOf(r, m.Config)
	if err != nil {
		return nil, err
	}
	outputs, err := m.Infer(ctx, inputs)
	if err != nil {
		if _, ok := status.FromError(err); ok {
			return nil, err
		}
		return nil, status.Error(codes.Internal, err.Error())
	}
	answer, err := answerOf(r, m, outputs)
	if err == nil && fault.Change != nil {
		fault.Change(answer)
	}
	return answer, err
}

// beginInference counts a call and takes the fault that it meets.
func (s *Server) beginInference(ctx context.Context, model string) Fault {
	header, _ := metadata.FromIncomingContext(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.header = header
	m := s.models[model]
	if m == nil {
		return Fault{}
	}
	m.inferences++
	fault := m.fault
	if fault.Times > 0 {
		if m.fault.Times--; m.fault.Times == 0 {
			m.fault = Fault{}
		}
	}
	return fault
}

// dropConnections breaks all connections and goes on serving new ones.
func (s *Server) dropConnections() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.connections {
		_ = c.Close()
	}
}

func (s *Server) loadedModel(name, version string) (*state, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.models[name]
	switch {
	case m == nil:
		return nil, status.Errorf(codes.NotFound, "Request for unknown model: '%s' is not found", name)
	case !m.loaded:
		return nil, status.Errorf(codes.NotFound, "Request for unknown model: '%s' has no available versions", name)
	case version != "" && version != m.Version:
		return nil, status.Errorf(codes.NotFound, "Request for unknown model: '%s' version %s is not found", name, version)
	}
	return m, nil
}

func inputsOf(r *inference.ModelInferRequest, config *inference.ModelConfig) ([]triton.Tensor, error) {
	invalid := func(format string, args ...any) error { return status.Errorf(codes.InvalidArgument, format, args...) }
	if len(r.Inputs) != len(config.Input) || len(r.RawInputContents) != len(r.Inputs) {
		return nil, invalid("expected %d inputs but got %d inputs for model '%s'", len(config.Input), len(r.Inputs), r.ModelName)
	}
	tensors := make([]triton.Tensor, len(r.Inputs))
	for i, in := range r.Inputs {
		k := slices.IndexFunc(config.Input, func(c *inference.ModelInput) bool { return c.Name == in.Name })
		if k < 0 {
			return nil, invalid("unexpected inference input '%s' for model '%s'", in.Name, r.ModelName)
		}
		t := triton.Tensor{Name: in.Name, DType: triton.DType(in.Datatype), Shape: in.Shape, Data: r.RawInputContents[i]}
		want := config.Input[k]
		if triton.DTypeOf(want.DataType) != t.DType {
			return nil, invalid("inference input '%s' data-type is '%s', but model '%s' expects '%s'", in.Name, in.Datatype, r.ModelName, triton.DTypeOf(want.DataType))
		}
		dims := want.Dims
		if config.MaxBatchSize > 0 {
			dims = append([]int64{-1}, dims...)
			if len(t.Shape) > 0 && t.Shape[0] > int64(config.MaxBatchSize) {
				return nil, invalid("inference request batch-size must be <= %d for '%s'", config.MaxBatchSize, r.ModelName)
			}
		}
		fits := slices.EqualFunc(t.Shape, dims, func(have, want int64) bool { return want == -1 || have == want })
		if !fits {
			return nil, invalid("unexpected shape for input '%s' for model '%s'. Expected %v, got %v", in.Name, r.ModelName, dims, t.Shape)
		}
		tensors[i] = t
	}
	return tensors, nil
}

func answerOf(r *inference.ModelInferRequest, m *state, outputs []triton.Tensor) (*inference.ModelInferResponse, error) {
	answer := &inference.ModelInferResponse{ModelName: m.Name, ModelVersion: m.Version, Id: r.Id}
	add := func(t triton.Tensor) {
		answer.Outputs = append(answer.Outputs, &inference.ModelInferResponse_InferOutputTensor{
			Name: t.Name, Datatype: string(t.DType), Shape: slices.Clone(t.Shape),
		})
		answer.RawOutputContents = append(answer.RawOutputContents, t.Data)
	}
	if len(r.Outputs) == 0 {
		for _, t := range outputs {
			add(t)
		}
		return answer, nil
	}
	for _, wanted := range r.Outputs {
		i := slices.IndexFunc(outputs, func(t triton.Tensor) bool { return t.Name == wanted.Name })
		if i < 0 {
			return nil, status.Errorf(codes.InvalidArgument, "unexpected inference output '%s' for model '%s'", wanted.Name, m.Name)
		}
		add(outputs[i])
	}
	return answer, nil
}

func wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}
