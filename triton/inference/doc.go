// Package inference holds the Go stubs of Triton Inference Server's gRPC
// protocol, generated from the .proto files beside it. Package triton is the
// client that the rest of the project uses.
package inference

//go:generate ./generate.sh
