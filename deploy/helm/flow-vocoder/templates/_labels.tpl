{{- define "flow-vocoder.labels" -}}
app.kubernetes.io/name: flow-vocoder
app.kubernetes.io/component: server
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
