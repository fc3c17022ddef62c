{{/* Names, labels and the parts that several workloads share; and what is needed, asked for by name. */}}

{{- define "gatepost.fullname" -}}
{{- $base := .Release.Name -}}
{{- if not (contains .Chart.Name .Release.Name) -}}{{- $base = printf "%s-%s" .Release.Name .Chart.Name -}}{{- end -}}
{{- default $base .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Takes (list root component). What selects pods never changes between releases of the chart. */}}
{{- define "gatepost.selector" -}}
app.kubernetes.io/name: {{ (index . 0).Chart.Name }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Takes (list root component). */}}
{{- define "gatepost.labels" -}}
{{ include "gatepost.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version }}
{{- end -}}

{{/* Takes (list root image). */}}
{{- define "gatepost.image" -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{ printf "%s@%s" $image.repository $image.digest }}
{{- else -}}
{{ printf "%s:%s" $image.repository (default (index . 0).Chart.AppVersion $image.tag) }}
{{- end -}}
{{- end -}}

{{/* Pod Security "restricted", for every pod alike. */}}
{{- define "gatepost.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "gatepost.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "gatepost.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Takes (list root component). */}}
{{- define "gatepost.topologySpread" -}}
{{- if (index . 0).Values.topologySpread.enabled }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: {{ (index . 0).Values.topologySpread.topologyKey }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "gatepost.selector" . | nindent 8 }}
{{- end }}
{{- end -}}

{{/* What the platform and its migration are told alike: where the record is, and how to log. */}}
{{- define "gatepost.env" -}}
- name: GATEPOST_DATABASE__URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.database.existingSecret }}
      key: {{ .Values.database.key }}
- name: GATEPOST_DATA_DIR
  value: /var/lib/gatepost
- name: GATEPOST_TELEMETRY__LOG_FORMAT
  value: {{ .Values.telemetry.logFormat | quote }}
- name: GATEPOST_TELEMETRY__LOG_FILTER
  value: {{ .Values.telemetry.logFilter | quote }}
{{- with .Values.telemetry.otlpEndpoint }}
- name: GATEPOST_TELEMETRY__OTLP_ENDPOINT
  value: {{ . | quote }}
{{- end }}
{{- end -}}

{{/* A list of roles as the platform's settings are written in a variable. Takes the list. */}}
{{- define "gatepost.roles" -}}
{{- $roles := list -}}
{{- range . -}}
{{- $role := printf "name=%q" .name -}}
{{- with .scopes -}}{{- $role = printf "%s,scopes=%s" $role (toJson .) -}}{{- end -}}
{{- with .community -}}{{- $role = printf "%s,community=%q" $role . -}}{{- end -}}
{{- $roles = append $roles (printf "{%s}" $role) -}}
{{- end -}}
[{{ join "," $roles }}]
{{- end -}}

{{/* Ends the rendering with one sentence that names the value, what to put there, and nothing else. */}}
{{- define "gatepost.validate" -}}
{{- if not .Values.platform.image.repository -}}
{{- fail "platform.image.repository is empty: name the platform's image" -}}
{{- end -}}
{{- if not .Values.database.existingSecret -}}
{{- fail (printf "database.existingSecret is empty: name a Secret whose key %s holds the PostgreSQL address" .Values.database.key) -}}
{{- end -}}
{{- if not .Values.faces.existingSecret -}}
{{- fail (printf "faces.existingSecret is empty: name a Secret whose key %s holds the master key of the enrolled faces" .Values.faces.key) -}}
{{- end -}}
{{- if and (ne .Values.timers.kind "embedded") (not .Values.timers.existingSecret) -}}
{{- fail (printf "timers.existingSecret is empty: name a Secret whose key %s lists the Redis addresses, or set timers.kind to embedded" .Values.timers.key) -}}
{{- end -}}
{{- if and (eq .Values.timers.kind "embedded") (gt (int .Values.platform.replicas) 1) -}}
{{- fail "timers.kind embedded allows one replica: set platform.replicas to 1, or timers.kind to redis" -}}
{{- end -}}
{{- if and (not .Values.tls.existingSecret) (not .Values.tls.insecure) -}}
{{- fail "tls.existingSecret is empty: name a Secret with tls.crt and tls.key, or set tls.insecure to true where something else brings the TLS" -}}
{{- end -}}
{{- if and .Values.tls.existingSecret .Values.tls.insecure -}}
{{- fail "tls.existingSecret and tls.insecure contradict each other: leave one out" -}}
{{- end -}}
{{- if and .Values.tls.clients.existingSecret (not .Values.tls.existingSecret) -}}
{{- fail "tls.clients.existingSecret needs tls.existingSecret: certificates are shown by TLS only" -}}
{{- end -}}
{{- if and (eq .Values.tls.clients.certificates "required") (not .Values.tls.clients.existingSecret) -}}
{{- fail "tls.clients.existingSecret is empty: name a Secret with the authorities of client certificates, or leave tls.clients.certificates optional" -}}
{{- end -}}
{{- if and .Values.oidc.issuer (or (not .Values.oidc.audience) (not .Values.oidc.roles)) -}}
{{- fail "oidc.issuer needs oidc.audience and oidc.roles: whom its tokens are for, and what their roles may do" -}}
{{- end -}}
{{- range $name, $value := .Values.platform.settings -}}
{{- if or (regexMatch "^GATEPOST_(DATABASE__URL|TIMERS__REDIS_URLS|TIMERS__KIND|WEBHOOK__|SMTP__|LISTEN__|TLS__|KEYS__|OIDC__(ISSUER|AUDIENCE|CLAIM|ROLES)|TELEMETRY__)" $name) -}}
{{- fail (printf "platform.settings.%s has a value of its own in this chart, or belongs into a Secret" $name) -}}
{{- end -}}
{{- end -}}
{{- if .Values.worker.enabled -}}
{{- if not .Values.worker.image.repository -}}
{{- fail "worker.image.repository is empty: name the vision worker's image, or set worker.enabled to false" -}}
{{- end -}}
{{- if not (or .Values.worker.existingSecret .Values.worker.certificate.existingSecret) -}}
{{- fail (printf "worker.existingSecret is empty: name a Secret whose key %s holds a worker's key, or set worker.enabled to false" .Values.worker.key) -}}
{{- end -}}
{{- if and (eq .Values.tls.clients.certificates "required") (not .Values.worker.certificate.existingSecret) -}}
{{- fail "worker.certificate.existingSecret is empty: client certificates are required, so the vision workers need one" -}}
{{- end -}}
{{- if and .Values.worker.certificate.existingSecret .Values.tls.insecure (not .Values.worker.platforms) -}}
{{- fail "worker.certificate.existingSecret needs TLS: a certificate is shown to an https address only" -}}
{{- end -}}
{{- if and .Values.tls.existingSecret (not .Values.tls.caKey) -}}
{{- fail "tls.caKey is empty: name the key of tls.existingSecret that holds the authority, which the vision workers verify the platform by" -}}
{{- end -}}
{{- if and (not .Values.worker.models.existingClaim) (not .Values.worker.models.inImage) -}}
{{- fail "worker.models.existingClaim is empty: name a claim that holds the models, or set worker.models.inImage to true" -}}
{{- end -}}
{{- end -}}
{{- end -}}
