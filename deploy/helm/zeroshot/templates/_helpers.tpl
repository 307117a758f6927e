{{- define "zeroshot.name" -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains "zeroshot" .Release.Name -}}
{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{ printf "zeroshot-%s" .Release.Name | trunc 50 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- /* Of every object. */}}
{{- define "zeroshot.labels" -}}
app.kubernetes.io/name: zeroshot
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- /* By which what is of this release's servers is known. */}}
{{- define "zeroshot.selector" -}}
app.kubernetes.io/name: zeroshot
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "zeroshot.pods" -}}
{{ include "zeroshot.selector" . }}
app.kubernetes.io/component: server
{{- end }}

{{- define "zeroshot.redisPods" -}}
app.kubernetes.io/name: zeroshot-redis
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "zeroshot.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "zeroshot.name" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end }}

{{- define "zeroshot.tlsSecret" -}}
{{ .Values.tls.secret | default (printf "%s-tls" (include "zeroshot.name" .)) }}
{{- end }}

{{- define "zeroshot.redisSecret" -}}
{{ .Values.redis.secret | default (printf "%s-redis" (include "zeroshot.name" .)) }}
{{- end }}

{{- define "zeroshot.device" -}}
{{ get .Values.devices .Values.device | toYaml }}
{{- end }}

{{- /* The server's arguments, sorted. A number of YAML is a float here: 1073741824
must not become 1.073741824e+09. */}}
{{- define "zeroshot.args" -}}
{{- $device := include "zeroshot.device" . | fromYaml -}}
{{- $flags := dict "log_format" "json" "max_connection_age" "5m" "threads" "$(CPU_LIMIT)" -}}
{{- $_ := set $flags "drain_grace" (printf "%ds" (int .Values.drain.graceSeconds)) -}}
{{- $_ := set $flags "drain_timeout" (printf "%ds" (int .Values.drain.timeoutSeconds)) -}}
{{- $_ := set $flags "device" .Values.device -}}
{{- $_ := set $flags "precision" (.Values.precision | default $device.precision) -}}
{{- if ne .Values.model.source "demo" }}{{ $_ := set $flags "model" (printf "/models/%s" .Values.model.file) }}{{ end -}}
{{- if not .Values.http.enabled }}{{ $_ := set $flags "http_listen" "" }}{{ end -}}
{{- if .Values.tls.enabled -}}
{{- $_ := set $flags "tls_cert" "/etc/zeroshot/tls/tls.crt" -}}
{{- $_ := set $flags "tls_key" "/etc/zeroshot/tls/tls.key" -}}
{{- if .Values.tls.clientCa }}{{ $_ := set $flags "tls_client_ca" "/etc/zeroshot/tls/ca.crt" }}{{ end -}}
{{- end -}}
{{- if .Values.tokensSecret }}{{ $_ := set $flags "auth_tokens" "/etc/zeroshot/tokens/tokens" }}{{ end -}}
{{- $given := mergeOverwrite (dict) ($device.flags | default dict) .Values.flags -}}
{{- range $name, $value := $given -}}
{{- if kindIs "invalid" $value }}{{ $_ := unset $flags $name }}{{ else }}{{ $_ := set $flags $name $value }}{{ end -}}
{{- end -}}
{{- range $name, $value := $flags }}
{{- $text := toString $value }}
{{- if kindIs "float64" $value }}{{ if eq (floor $value) $value }}{{ $text = toString (int64 $value) }}{{ end }}{{ end }}
- {{ printf "--%s=%s" $name $text | quote }}
{{- end }}
{{- end }}

{{- /* Kubernetes' gRPC probes do not speak TLS; these pages say the same. */}}
{{- define "zeroshot.probe" -}}
{{- if .tls -}}
httpGet: {path: {{ .page }}, port: metrics}
{{- else -}}
grpc: {port: 50051, service: zeroshot.v1.ZeroShot}
{{- end }}
{{- end }}

{{- define "zeroshot.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{- /* How fast replicas come and go. */}}
{{- define "zeroshot.scaling" -}}
scaleUp:
  stabilizationWindowSeconds: 30
  policies:
    - {type: Percent, value: 100, periodSeconds: 60}
scaleDown:
  stabilizationWindowSeconds: 300
  policies:
    - {type: Pods, value: 1, periodSeconds: 60}
{{- end }}
