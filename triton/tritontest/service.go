package tritontest

import (
	"cmp"
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

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
	config := proto.CloneOf(m.Config)
	return &inference.ModelConfigResponse{Config: config}, nil
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
	add := func(entry *inference.RepositoryIndexResponse_ModelIndex) {
		if !r.Ready || entry.State == "READY" {
			answer.Models = append(answer.Models, entry)
		}
	}
	for name, m := range s.models {
		if m.counts.Loads == 0 && m.newest() == nil {
			add(&inference.RepositoryIndexResponse_ModelIndex{Name: name}) // never loaded: only the folder is known
			continue
		}
		for _, v := range m.versions {
			entry := &inference.RepositoryIndexResponse_ModelIndex{Name: name, Version: v.files.Version}
			switch {
			case v.loading:
				entry.State = "LOADING"
			case v.unloading:
				entry.State = "UNLOADING"
			case v.loaded:
				entry.State = "READY"
			case v.files.LoadError != "":
				entry.State, entry.Reason = "UNAVAILABLE", v.files.LoadError
			default:
				entry.State, entry.Reason = "UNAVAILABLE", "unloaded"
			}
			add(entry)
		}
	}
	slices.SortFunc(answer.Models, func(a, b *inference.RepositoryIndexResponse_ModelIndex) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Version, b.Version))
	})
	return answer, nil
}

// RepositoryModelLoad implements the protocol.
func (s *Server) RepositoryModelLoad(ctx context.Context, r *inference.RepositoryModelLoadRequest) (*inference.RepositoryModelLoadResponse, error) {
	wanted, err := s.beginLoad(r)
	if err != nil {
		return nil, err
	}
	// Triton goes on loading when nobody waits for it any more.
	done := make(chan error, 1)
	s.mu.Lock()
	stopped := s.stopped
	s.mu.Unlock()
	go func() { done <- s.finishLoad(stopped, r.ModelName, wanted) }()
	select {
	case err := <-done:
		if err != nil {
			return nil, err
		}
		return &inference.RepositoryModelLoadResponse{}, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// beginLoad counts a load and finds the versions that it is for.
func (s *Server) beginLoad(r *inference.RepositoryModelLoadRequest) ([]*version, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.models[r.ModelName]
	if m == nil {
		return nil, status.Errorf(codes.Internal, "failed to load '%s', failed to poll from model repository", r.ModelName)
	}
	m.counts.Loads++
	wanted, err := m.wanted(r.Parameters["config"].GetStringParam())
	if err != nil {
		return nil, err
	}
	if len(wanted) == 0 {
		return nil, status.Errorf(codes.InvalidArgument, "load failed for model '%s': at least one version must be available under the version policy of model '%s'", r.ModelName, r.ModelName)
	}
	for _, v := range wanted {
		v.loading = !v.loaded || v.fresh
	}
	return wanted, nil
}

// wanted are the versions that a configuration asks for. Without one it is the newest; but what is
// loaded stays as it is, whatever it was loaded by, as long as the files are the same.
func (m *state) wanted(config string) ([]*version, error) {
	if loaded := slices.DeleteFunc(slices.Clone(m.versions), func(v *version) bool { return !v.loaded }); config == "" && !m.changed && len(loaded) > 0 {
		return loaded, nil
	}
	var override inference.ModelConfig
	if config != "" {
		if err := protojson.Unmarshal([]byte(config), &override); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "invalid model configuration: %v", err)
		}
	}
	if override.VersionPolicy.GetAll() != nil {
		return slices.Clone(m.versions), nil
	}
	if specific := override.VersionPolicy.GetSpecific(); specific != nil {
		return slices.DeleteFunc(slices.Clone(m.versions), func(v *version) bool {
			return !slices.Contains(specific.Versions, int64(v.files.number()))
		}), nil
	}
	return m.versions[max(0, len(m.versions)-1):], nil
}

// finishLoad has the versions of a model loaded that are wanted and no others, or changes nothing.
func (s *Server) finishLoad(stopped context.Context, model string, wanted []*version) error {
	var delay time.Duration
	s.mu.Lock()
	for _, v := range wanted {
		if v.loading {
			delay += v.files.LoadDelay
		}
	}
	s.mu.Unlock()
	err := wait(stopped, delay)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range wanted {
		if v.loading && v.files.LoadError != "" {
			err = status.Errorf(codes.InvalidArgument, "load failed for model '%s': version %s is at UNAVAILABLE state: %s;", model, v.files.Version, v.files.LoadError)
		}
	}
	for _, v := range wanted {
		if v.loading && err == nil {
			v.load()
		}
		v.loading = false
	}
	if err != nil {
		return err
	}
	s.models[model].changed = false
	for _, v := range s.models[model].versions {
		if !slices.Contains(wanted, v) {
			v.loaded = false
		}
	}
	return nil
}

// RepositoryModelUnload implements the protocol.
func (s *Server) RepositoryModelUnload(ctx context.Context, r *inference.RepositoryModelUnloadRequest) (*inference.RepositoryModelUnloadResponse, error) {
	for s.loading(r.ModelName) { // Triton ends a load that is under way first
		if err := wait(ctx, time.Millisecond); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.models[r.ModelName]
	if m == nil {
		return &inference.RepositoryModelUnloadResponse{}, nil
	}
	m.counts.Unloads++
	for _, v := range m.versions {
		if v.loaded && v.running.UnloadDelay > 0 {
			v.unloading = true
			time.AfterFunc(v.running.UnloadDelay, func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				v.unloading = false
			})
		}
		v.loaded = false
	}
	return &inference.RepositoryModelUnloadResponse{}, nil
}

func (s *Server) loading(model string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.models[model]
	return m != nil && slices.ContainsFunc(m.versions, func(v *version) bool { return v.loading })
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
		if ctx.Err() != nil { // a call that has ended is no fault of the model
			return nil, status.FromContextError(ctx.Err()).Err()
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
	m.counts.Inferences++
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

func (s *Server) loadedModel(name, number string) (*Model, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.models[name]
	if m == nil {
		return nil, status.Errorf(codes.NotFound, "Request for unknown model: '%s' is not found", name)
	}
	newest := m.newest()
	if newest == nil {
		return nil, status.Errorf(codes.NotFound, "Request for unknown model: '%s' has no available versions", name)
	}
	if number == "" {
		number = newest.running.Version
	}
	for _, v := range m.versions {
		if v.loaded && v.running.Version == number {
			running := v.running
			return &running, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "Request for unknown model: '%s' version %s is not found", name, number)
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

func answerOf(r *inference.ModelInferRequest, m *Model, outputs []triton.Tensor) (*inference.ModelInferResponse, error) {
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
