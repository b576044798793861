{{/* Names. */}}

{{- define "lexicrop.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "lexicrop.fullname" -}}
{{- $name := include "lexicrop.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "lexicrop.triton.fullname" -}}
{{ include "lexicrop.fullname" . }}-triton
{{- end }}

{{- define "lexicrop.serviceAccount" -}}
{{- $s := .Values.serviceAccount }}
{{- if $s.create }}{{ default (include "lexicrop.fullname" .) $s.name }}{{ else }}{{ default "default" $s.name }}{{ end }}
{{- end }}

{{- define "lexicrop.triton.serviceAccount" -}}
{{- $s := .Values.triton.serviceAccount }}
{{- if $s.create }}{{ default (include "lexicrop.triton.fullname" .) $s.name }}{{ else }}{{ default "default" $s.name }}{{ end }}
{{- end }}

{{- define "lexicrop.repositoryKey.secret" -}}
{{- default (printf "%s-repository" (include "lexicrop.triton.fullname" .)) .Values.triton.repositoryKey.existingSecret }}
{{- end }}

{{- define "lexicrop.index.claim" -}}
{{- default (printf "%s-index" (include "lexicrop.fullname" .)) .Values.index.sqlite.existingClaim }}
{{- end }}

{{/* Labels. Pods have only those that select them, which never change: a new version of the chart
alone rolls nothing. Call with (list $ COMPONENT). */}}

{{- define "lexicrop.selector" -}}
{{- $top := index . 0 -}}
app.kubernetes.io/name: {{ include "lexicrop.name" $top }}
app.kubernetes.io/instance: {{ $top.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "lexicrop.labels" -}}
{{- $top := index . 0 -}}
{{ include "lexicrop.selector" . }}
app.kubernetes.io/version: {{ $top.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $top.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $top.Chart.Name $top.Chart.Version | replace "+" "_" }}
{{- end }}

{{/* An image's reference. Call with (list $ IMAGE-VALUES). */}}
{{- define "lexicrop.image" -}}
{{- $top := index . 0 }}{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ default $top.Chart.AppVersion $image.tag }}
{{- end }}
{{- end }}

{{/* What every pod has, with the values of its component: call with (list $ VALUES COMPONENT). */}}
{{- define "lexicrop.pod" -}}
{{- $top := index . 0 }}{{- $values := index . 1 -}}
automountServiceAccountToken: false
# The variables of Kubernetes for services would be taken for settings.
enableServiceLinks: false
{{- with $top.Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
{{- if $values.topologySpreadConstraints }}
{{- toYaml $values.topologySpreadConstraints | nindent 2 }}
{{- else }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "lexicrop.selector" (list $top (index . 2)) | nindent 8 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Of a pod, for the user of its image. */}}
{{- define "lexicrop.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "lexicrop.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* host:port of Triton's gRPC. */}}
{{- define "lexicrop.triton.address" -}}
{{- if .Values.triton.enabled -}}
{{ include "lexicrop.triton.fullname" . }}.{{ .Release.Namespace }}.svc:8001
{{- else -}}
{{ .Values.triton.external.address }}
{{- end }}
{{- end }}

{{/* lexicrop.yaml: what the user configures, and over it what the chart alone can know. */}}
{{- define "lexicrop.config" -}}
{{- $index := dict "store" .Values.index.store }}
{{- if eq .Values.index.store "sqlite" }}{{ $_ := set $index "path" "/data/catalogue.db" }}{{ end }}
{{- if eq .Values.index.store "weaviate" }}{{ $_ := set $index "weaviate" (dict "url" .Values.index.weaviate.url) }}{{ end }}
{{- $own := dict
  "server" (dict "address" ":8080"
    "shutdown_delay" (printf "%ds" (int .Values.drain.delaySeconds))
    "shutdown_grace" (printf "%ds" (int .Values.drain.graceSeconds)))
  "admin" (dict "address" ":9090")
  "triton" (dict "address" (include "lexicrop.triton.address" .))
  "index" $index }}
{{- toYaml (mergeOverwrite (deepCopy .Values.config) $own) }}
{{- end }}

{{/* The models that the configuration names, one a line: wherever config.models has a key name, which
canaries and shadows have too. */}}
{{- define "lexicrop.models" -}}
{{- range $key, $value := . }}
{{- if kindIs "map" $value }}{{ include "lexicrop.models" $value }}
{{- else if and (eq $key "name") $value }}{{ $value }}{{ "\n" }}{{ end }}
{{- end }}
{{- end }}

{{/* The rules of an egress that every pod needs: names. */}}
{{- define "lexicrop.egress.dns" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}
