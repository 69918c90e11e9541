"""Addresses that several parts of the server treat specially."""

READINESS = frozenset({"/readyz", "/v2/health/ready"})
PROBES = READINESS | {"/livez", "/v2/health/live"}
"""Probes use whatever Host the orchestrator gives them, send no API key, and are answered at any load."""
METRICS = "/metrics"
OPERATIONS = PROBES | {METRICS}
"""Answered at any load and until the end of a shutdown. A shutdown does not wait for them; they are not logged."""
PAGES = frozenset({"/", "/docs"})
PAGE_PARTS = ("/page/", "/docs/")
INFERENCE = "/v2"
"""The Open Inference Protocol prescribes the shape of errors below this address."""
