{{/* What contradicts itself is refused with all messages at once. Single values are the schema's part. */}}
{{- define "lexicrop.validate" -}}
{{- $problems := list }}
{{- $v := .Values }}

{{- $owned := dict
  "server.address" "service.port is the port of the Service"
  "server.shutdown_delay" "set drain.delaySeconds"
  "server.shutdown_grace" "set drain.graceSeconds"
  "admin.address" "the probes depend on it"
  "triton.address" "set triton.external.address, and triton.enabled to false"
  "triton.headers" "it is a secret: set triton.repositoryKey, or LEXICROP_TRITON_HEADERS in extraEnv"
  "triton.local" "there is no local Triton in a pod"
  "index.store" "set index.store"
  "index.path" "set index.sqlite"
  "index.dsn" "it is a secret: set index.postgres.existingSecret"
  "index.weaviate.url" "set index.weaviate.url"
  "index.weaviate.api_key" "it is a secret: set index.weaviate.existingSecret"
  "auth.keys" "they are secret: set auth.existingSecret"
  "auth.write_keys" "they are secret: set auth.existingSecret and auth.writeKeysKey" }}
{{- range $key, $instead := $owned }}
{{- $section := $v.config }}
{{- range splitList "." $key | initial }}{{ $section = get $section . | default dict }}{{ end }}
{{- if hasKey $section (splitList "." $key | last) }}
{{- $problems = append $problems (printf "config.%s belongs to the chart: %s" $key $instead) }}
{{- end }}
{{- end }}

{{- if and $v.triton.enabled $v.triton.external.address }}
{{- $problems = append $problems "triton.external.address has no effect while triton.enabled is true: set one of them" }}
{{- end }}
{{- if and (not $v.triton.enabled) (not $v.triton.external.address) }}
{{- $problems = append $problems "triton.enabled is false: set triton.external.address to the host:port of the Triton that is there" }}
{{- end }}

{{- $m := $v.triton.models }}
{{- if and $v.triton.enabled (eq $m.source "claim") (not $m.claim.name) }}
{{- $problems = append $problems "triton.models.source is claim: set triton.models.claim.name" }}
{{- end }}
{{- if and $v.triton.enabled (has $m.source (list "s3" "gcs")) (not (get $m $m.source).url) }}
{{- $problems = append $problems (printf "triton.models.source is %s: set triton.models.%s.url" $m.source $m.source) }}
{{- end }}
{{- if and $v.triton.autoscaling.enabled $v.triton.keda.enabled }}
{{- $problems = append $problems "triton.autoscaling and triton.keda would both scale Triton: enable one of them" }}
{{- end }}
{{- if and $v.triton.keda.enabled (not $v.triton.keda.triggers) }}
{{- $problems = append $problems "triton.keda.enabled needs triton.keda.triggers" }}
{{- end }}
{{- range $name, $scaling := dict "autoscaling" $v.autoscaling "triton.autoscaling" $v.triton.autoscaling "triton.keda" $v.triton.keda }}
{{- if gt (int $scaling.minReplicas) (int $scaling.maxReplicas) }}
{{- $problems = append $problems (printf "%s.minReplicas must be at most maxReplicas" $name) }}
{{- end }}
{{- end }}

{{- if and (eq $v.index.store "postgres") (not $v.index.postgres.existingSecret) }}
{{- $problems = append $problems "index.store is postgres: set index.postgres.existingSecret" }}
{{- end }}
{{- if and (ne $v.index.store "postgres") $v.index.postgres.existingSecret }}
{{- $problems = append $problems "index.postgres.existingSecret has no effect unless index.store is postgres" }}
{{- end }}
{{- if and (eq $v.index.store "weaviate") (not $v.index.weaviate.url) }}
{{- $problems = append $problems "index.store is weaviate: set index.weaviate.url" }}
{{- end }}
{{- if and (ne $v.index.store "weaviate") (or $v.index.weaviate.url $v.index.weaviate.existingSecret) }}
{{- $problems = append $problems "index.weaviate has no effect unless index.store is weaviate" }}
{{- end }}
{{- if and (ne $v.index.store "none") (not (dig "models" "embedder" "name" "" $v.config)) }}
{{- $problems = append $problems (printf "index.store is %s: set config.models.embedder.name, which makes the vectors" $v.index.store) }}
{{- end }}
{{- if and $v.auth.writeKeysKey (not $v.auth.existingSecret) }}
{{- $problems = append $problems "auth.writeKeysKey has no effect without auth.existingSecret" }}
{{- end }}
{{- if and $v.ingress.enabled (not $v.ingress.hosts) }}
{{- $problems = append $problems "ingress.enabled needs ingress.hosts" }}
{{- end }}
{{- if and $v.httpRoute.enabled (not $v.httpRoute.parentRefs) }}
{{- $problems = append $problems "httpRoute.enabled needs httpRoute.parentRefs" }}
{{- end }}

{{- if $problems }}
{{- fail (printf "the values contradict themselves:\n- %s" (join "\n- " $problems)) }}
{{- end }}
{{- end }}
