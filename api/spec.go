package api

import _ "embed"

// Spec is the OpenAPI 3.0 description of the service, the source of the types of this package.
//
//go:embed openapi.yaml
var Spec []byte
