package weaviate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/weaviate/weaviate-go-client/v5/weaviate/fault"
	"github.com/weaviate/weaviate/entities/models"

	"github.com/lexicam/lexicrop/index"
)

// description is that of the collection: the server changes no other part of it
// as little, and gives the collection whole or not at all.
type description struct {
	Version     int    `json:"lexicrop"` // of the properties
	Space       string `json:"space"`
	Fingerprint string `json:"fingerprint"`
	Dimension   int    `json:"dimension"`
}

const version = 1

// prepare finds the collection, or makes it, and returns its space.
func (c *client) prepare(ctx context.Context, given index.Space, replicas int) (index.Space, error) {
	space, err := c.space(ctx)
	if err == nil && given != (index.Space{}) {
		return space, space.Check(given)
	}
	if index.KindOf(err) != index.NotFound || given == (index.Space{}) {
		return space, err
	}
	err = c.schema.ClassCreator().WithClass(c.class(given, replicas)).Do(ctx)
	if e, ok := errors.AsType[*fault.WeaviateClientError](err); err != nil && (!ok || e.StatusCode != http.StatusUnprocessableEntity) {
		return index.Space{}, err
	}
	// It is there now, unless the server did not like it; but another process may
	// have made it.
	space, again := c.space(ctx)
	if err != nil && index.KindOf(again) == index.NotFound {
		return space, err
	}
	if again != nil {
		return space, again
	}
	return space, space.Check(given)
}

// space is that of the collection that is there.
func (c *client) space(ctx context.Context) (index.Space, error) {
	class, err := c.schema.ClassGetter().WithClassName(c.collection).Do(ctx)
	if e, ok := errors.AsType[*fault.WeaviateClientError](err); ok && e.StatusCode == http.StatusNotFound {
		return index.Space{}, notFound("there is no catalogue yet")
	}
	if err != nil {
		return index.Space{}, err
	}
	var d description
	if err := json.Unmarshal([]byte(class.Description), &d); err != nil || d.Version == 0 {
		return index.Space{}, invalid("the collection is of another program, or lost its description")
	}
	space := index.Space{Name: d.Space, Fingerprint: d.Fingerprint, Dimension: d.Dimension}
	switch {
	case d.Version > version:
		return space, invalid("written by a newer lexicrop: the collection is of version %d, this one knows %d", d.Version, version)
	case space.Valid() != nil:
		return space, damaged(fmt.Errorf("the description of the collection says space %s", space))
	case class.VectorIndexType != "flat":
		return space, invalid("the collection has an index of type %q, which misses works: a catalogue has a flat one", class.VectorIndexType)
	}
	c.replicated = class.ReplicationConfig != nil && class.ReplicationConfig.Factor > 1
	return space, nil
}

func (c *client) class(space index.Space, replicas int) *models.Class {
	described, _ := json.Marshal(description{version, space.Name, space.Fingerprint, space.Dimension}) // of plain fields
	yes, no := new(true), new(false)
	property := func(name, kind string, filterable *bool) *models.Property {
		p := &models.Property{Name: name, DataType: []string{kind}, IndexFilterable: filterable}
		if kind == "text" || kind == "text[]" {
			p.IndexSearchable, p.Tokenization = no, "field" // as it is, in upper and lower case
		}
		return p
	}
	class := &models.Class{
		Class:           c.collection,
		Description:     string(described),
		Vectorizer:      "none",
		VectorIndexType: "flat", // compares with every vector, and so misses none
		VectorIndexConfig: map[string]any{
			"distance":                "dot",
			"skipDefaultQuantization": true,
		},
		Properties: []*models.Property{
			property("kind", "text", yes), property("key", "text", yes), property("terms", "text[]", yes), property("year", "int", yes),
			property("hash", "text", yes), property("order", "int", yes), property("bytes", "int", no),
			property("record", "text", no), property("bits", "blob", no), property("sum", "text", no),
			property("crop", "blob", no), property("cropSum", "text", no),
		},
	}
	if replicas > 0 {
		class.ReplicationConfig = &models.ReplicationConfig{Factor: int64(replicas)}
	}
	return class
}
