package triton

import (
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"
)

// DialReplicas dials several addresses as one name would resolve to them.
func DialReplicas(o Options, addresses ...string) (*Client, error) {
	names := manual.NewBuilderWithScheme("replicas")
	state := resolver.State{}
	for _, a := range addresses {
		state.Endpoints = append(state.Endpoints, resolver.Endpoint{Addresses: []resolver.Address{{Addr: a}}})
	}
	names.InitialState(state)
	return dial("replicas:///triton", o, grpc.WithResolvers(names))
}

// SetReconnection has a request wait that long for another replica.
func (c *Client) SetReconnection(d time.Duration) { c.reconnection = d }
