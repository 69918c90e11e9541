{{- define "flow-vocoder.labels" -}}
app.kubernetes.io/name: flow-vocoder
app.kubernetes.io/component: server
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "flow-vocoder.balancer" -}}
app.kubernetes.io/name: flow-vocoder
app.kubernetes.io/component: balancer
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
