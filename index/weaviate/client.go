package weaviate

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/weaviate/weaviate-go-client/v5/weaviate/batch"
	"github.com/weaviate/weaviate-go-client/v5/weaviate/connection"
	"github.com/weaviate/weaviate-go-client/v5/weaviate/fault"
	"github.com/weaviate/weaviate-go-client/v5/weaviate/filters"
	"github.com/weaviate/weaviate-go-client/v5/weaviate/graphql"
	"github.com/weaviate/weaviate-go-client/v5/weaviate/schema"
	"github.com/weaviate/weaviate/entities/models"

	"github.com/lexicam/lexicrop/index"
)

// client has the requests that the store makes of one collection.
type client struct {
	connection *connection.Connection
	transport  *http.Transport
	collection string
	replicated bool // whether several nodes keep every object
	schema     *schema.API
	graphql    *graphql.API
	batch      *batch.API
}

func newClient(o Options) (*client, error) {
	address, err := url.Parse(o.URL)
	if err != nil || address.Scheme != "http" && address.Scheme != "https" || address.Host == "" || address.User != nil || address.RawQuery != "" || address.Fragment != "" {
		return nil, invalid("the URL is none such as https://weaviate:8080")
	}
	c := &client{transport: newTransport(o.TLS), collection: o.Collection}
	var headers map[string]string
	if o.APIKey != "" {
		headers = map[string]string{"Authorization": "Bearer " + o.APIKey}
	}
	c.connection = connection.NewConnection(address.Scheme, strings.TrimSuffix(address.Host+address.Path, "/"),
		&http.Client{Transport: retrying{c.transport}, Timeout: o.Timeout}, o.Timeout, headers)
	// Its finalizer waits for a receiver that is not there without OAuth, and all
	// finalizers of the process behind it.
	runtime.SetFinalizer(c.connection, nil)
	c.schema, c.graphql, c.batch = schema.New(c.connection), graphql.New(c.connection), batch.New(c.connection, nil, nil)
	return c, nil
}

func newTransport(config *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:       config,
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
}

// retrying makes a request once more where its connection was lost, as all of a
// server's are when it starts again. Every request of the store does the same
// when it is made twice.
type retrying struct{ *http.Transport }

// RoundTrip implements http.RoundTripper.
func (t retrying) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := t.Transport.RoundTrip(r)
	if err == nil || r.Context().Err() != nil {
		return response, err
	}
	again := r.Clone(r.Context())
	if r.Body != nil {
		if r.GetBody == nil {
			return nil, err
		}
		var bodyErr error
		if again.Body, bodyErr = r.GetBody(); bodyErr != nil {
			return nil, errors.Join(err, bodyErr)
		}
	}
	t.CloseIdleConnections() // the others are no better
	return t.Transport.RoundTrip(again)
}

// consistency is how many of the nodes that keep an object must agree: more than
// half, to read and to write, so that a read sees what was written.
const consistency = "QUORUM"

// maxResults is the most objects that an answer may have, unless the server was
// told otherwise (QUERY_MAXIMUM_RESULTS).
const maxResults = 10_000

// get makes a query for objects of the collection.
func (c *client) get(fields string) *graphql.GetBuilder {
	query := c.graphql.Get().WithClassName(c.collection).WithFields(graphql.Field{Name: fields})
	if c.replicated { // else there is no such argument
		query.WithConsistencyLevel(consistency)
	}
	return query
}

// objects asks a query of get.
func (c *client) objects(ctx context.Context, query *graphql.GetBuilder) ([]object, error) {
	var answer struct {
		Get map[string][]object
	}
	err := c.query(ctx, query.Build(), &answer)
	return answer.Get[c.collection], err
}

// count counts the objects that where chooses.
func (c *client) count(ctx context.Context, where *filters.WhereBuilder) (int, error) {
	var answer struct {
		Aggregate map[string][]struct{ Meta struct{ Count int } }
	}
	query := "{Aggregate{" + c.collection + "(" + where.String() + "){meta{count}}}}"
	if err := c.query(ctx, query, &answer); err != nil {
		return 0, err
	}
	groups := answer.Aggregate[c.collection]
	if len(groups) != 1 {
		return 0, fmt.Errorf("the server counted %d groups", len(groups))
	}
	return groups[0].Meta.Count, nil
}

// query asks in GraphQL.
func (c *client) query(ctx context.Context, text string, answer any) error {
	response, err := c.connection.RunREST(ctx, "/graphql", http.MethodPost, &models.GraphQLQuery{Query: text})
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return &fault.WeaviateClientError{StatusCode: response.StatusCode, Msg: string(response.Body)}
	}
	var body struct {
		Data   json.RawMessage
		Errors []struct{ Message string }
	}
	if err := json.Unmarshal(response.Body, &body); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	if len(body.Errors) > 0 {
		return fmt.Errorf("the server says: %s", body.Errors[0].Message)
	}
	return json.Unmarshal(body.Data, answer)
}

// maxBatch is the most objects in a request, batchBytes about how large it may
// get.
const (
	maxBatch   = 500
	batchBytes = 8 << 20
)

// put writes objects, which replace those of their ids.
func (c *client) put(ctx context.Context, objects []*models.Object) error {
	for len(objects) > 0 {
		n, bytes := 0, 0
		for n < len(objects) && n < maxBatch && (n == 0 || bytes < batchBytes) {
			bytes += sizeOf(objects[n])
			n++
		}
		results, err := c.batch.ObjectsBatcher().WithObjects(objects[:n]...).WithConsistencyLevel(consistency).Do(ctx)
		if err != nil {
			return err
		}
		for _, r := range results {
			if r.Result != nil && r.Result.Errors != nil && len(r.Result.Errors.Error) > 0 {
				return fmt.Errorf("the server says: %s", r.Result.Errors.Error[0].Message)
			}
		}
		if len(results) != n {
			return fmt.Errorf("the server wrote %d of %d objects", len(results), n)
		}
		objects = objects[n:]
	}
	return nil
}

// remove removes the objects that where chooses.
func (c *client) remove(ctx context.Context, where *filters.WhereBuilder) error {
	for {
		response, err := c.batch.ObjectsBatchDeleter().WithClassName(c.collection).WithWhere(where).WithOutput("minimal").WithConsistencyLevel(consistency).Do(ctx)
		switch {
		case err != nil:
			return err
		case response.Results == nil || response.Results.Failed > 0:
			return errors.New("the server could not remove all objects")
		case response.Results.Matches == response.Results.Successful && response.Results.Matches < response.Results.Limit:
			return nil
		}
	}
}

// settle has the server write what it holds back of objects just put. Weaviate
// 1.35 acknowledges a batch when the log of the vectors may not have them yet,
// and forgets these when it is killed; a removal writes all logs of the shards
// that it looks into, also one that is only tried.
func (c *client) settle(ctx context.Context, uuids []string) error {
	for uuids := range slices.Chunk(uuids, 1000) {
		_, err := c.batch.ObjectsBatchDeleter().WithClassName(c.collection).WithWhere(anyOf("id", uuids...)).
			WithDryRun(true).WithOutput("minimal").WithConsistencyLevel(consistency).Do(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}

// failure makes an *index.Error of what is none yet, unless ctx ended: then it
// is why.
func failure(ctx context.Context, doing string, err error) error {
	if _, ok := errors.AsType[*index.Error](err); ok {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", doing, ctx.Err())
	}
	status := 0
	for e, ok := errors.AsType[*fault.WeaviateClientError](err); ok; e, ok = errors.AsType[*fault.WeaviateClientError](err) {
		// It does not unwrap, and its text says little about what it wraps.
		if status, err = e.StatusCode, e.DerivedFromError; err == nil {
			err = fmt.Errorf("the server answers with status %d: %s", e.StatusCode, messageOf(e.Msg))
		}
	}
	return &index.Error{Kind: kindOf(status, err), Err: fmt.Errorf("%s: %w", doing, err)}
}

func kindOf(status int, err error) index.Kind {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return index.Unavailable
	}
	_, request := errors.AsType[*url.Error](err)
	_, network := errors.AsType[net.Error](err) // amid an answer
	if request || network || errors.Is(err, io.ErrUnexpectedEOF) {
		return index.Unavailable
	}
	return index.Internal
}

// messageOf is what the body of an error says.
func messageOf(body string) string {
	var said models.ErrorResponse
	if err := json.Unmarshal([]byte(body), &said); err == nil && len(said.Error) > 0 {
		return said.Error[0].Message
	}
	if len(body) > 200 {
		body = strings.ToValidUTF8(body[:200], "") + "…"
	}
	return body
}
