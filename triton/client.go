// Package triton is a client of NVIDIA Triton Inference Server over gRPC:
// inference on raw tensors, readiness, model configuration and repository
// control.
package triton

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"

	"github.com/lexicam/lexicrop/triton/inference"
)

// Options says how to reach Triton.
type Options struct {
	// Address is host:port. Every address that the name resolves to is a
	// replica, and requests go to them in turn.
	Address string
	// TLS, when set, encrypts the connection; client certificates go in it.
	TLS *tls.Config
	// Header goes with every call. Triton's restricted protocols want
	// "triton-grpc-protocol-KEY: VALUE".
	Header map[string]string
	// MaxResponseBytes bounds an answer whose size the request does not tell.
	// Default: 16 MiB.
	MaxResponseBytes int
	// LoadConfig, when set, is asked at every Load for a whole model
	// configuration as JSON that takes the place of the one in the repository;
	// empty for none. (*local.Server).LoadConfig is one.
	LoadConfig func(model string) (string, error)
	// Tracing makes a span of every call. The trace of a call's context goes to
	// Triton (traceparent) with or without it.
	Tracing trace.TracerProvider
}

// Client talks to one Triton, or to several replicas under one name. It is
// safe for concurrent use and reconnects by itself.
type Client struct {
	conn             *grpc.ClientConn
	stub             inference.GRPCInferenceServiceClient
	header           metadata.MD
	maxResponseBytes int
	loadConfig       func(model string) (string, error)
	reconnection     time.Duration
}

// Dial prepares a client and begins to connect. It does not wait: as long as no
// Triton is there, calls fail with Unavailable. The error is about the options.
func Dial(o Options) (*Client, error) {
	if _, _, err := net.SplitHostPort(o.Address); err != nil {
		return nil, fmt.Errorf("address of Triton %q: %w", o.Address, err)
	}
	return dial("dns:///"+o.Address, o)
}

func dial(target string, o Options, more ...grpc.DialOption) (*Client, error) {
	if o.MaxResponseBytes < 0 {
		return nil, errors.New("negative MaxResponseBytes")
	}
	if o.MaxResponseBytes == 0 {
		o.MaxResponseBytes = 16 << 20
	}
	if o.Tracing == nil {
		o.Tracing = nooptrace.NewTracerProvider()
	}
	security := insecure.NewCredentials()
	if o.TLS != nil {
		security = credentials.NewTLS(o.TLS)
	}
	conn, err := grpc.NewClient(target, append(more,
		grpc.WithTransportCredentials(security),
		grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"`+replicaBalancer+`": {}}]}`),
		grpc.WithDisableServiceConfig(), // a TXT record must not change the above
		grpc.WithConnectParams(grpc.ConnectParams{
			// gRPC's own maximum of two minutes would outlast a restart of Triton.
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 3 * time.Second,
		}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{
			// Triton closes the connection of a client that pings more often
			// than every five minutes (http2-min-recv-ping-interval-without-data)
			// or without a call under way. Dead peers are noticed sooner all the
			// same: Timeout is also the TCP user timeout of data sent.
			Time:    6 * time.Minute,
			Timeout: 10 * time.Second,
		}),
		// A picture is 307 kB and more: sent in fewer writes than by gRPC's 32 kB, and without the pings by
		// which gRPC would look for windows of its own. Measured in docs/performance.md.
		grpc.WithWriteBufferSize(512<<10),
		grpc.WithStaticStreamWindowSize(1<<20),
		grpc.WithStaticConnWindowSize(4<<20),
		grpc.WithStatsHandler(otelgrpc.NewClientHandler(
			otelgrpc.WithTracerProvider(o.Tracing),
			otelgrpc.WithMeterProvider(noopmetric.NewMeterProvider()),
			otelgrpc.WithPropagators(propagation.TraceContext{}),
		)),
	)...)
	if err != nil {
		return nil, fmt.Errorf("address of Triton %q: %w", o.Address, err)
	}
	conn.Connect()
	return &Client{
		conn:             conn,
		stub:             inference.NewGRPCInferenceServiceClient(conn),
		header:           metadata.New(o.Header),
		maxResponseBytes: o.MaxResponseBytes,
		loadConfig:       o.LoadConfig,
		reconnection:     reconnection,
	}, nil
}

// Close ends the connections; calls under way fail with Canceled.
func (c *Client) Close() error { return c.conn.Close() }

// outgoing adds the configured header to a call.
func (c *Client) outgoing(ctx context.Context) context.Context {
	if len(c.header) == 0 {
		return ctx
	}
	return metadata.NewOutgoingContext(ctx, c.header)
}
