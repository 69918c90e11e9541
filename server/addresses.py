"""Addresses that several parts of the server treat specially."""

READINESS = frozenset({"/readyz", "/v2/health/ready"})
PROBES = READINESS | {"/livez", "/v2/health/live"}
"""Probes ask by a changing address, without a key, and at any load."""
METRICS = "/metrics"
OPERATIONS = PROBES | {METRICS}
"""Answered at any load and to the end of a shutdown, which does not wait for them, and not logged."""
PAGES = frozenset({"/", "/docs"})
PAGE_PARTS = ("/page/", "/docs/")
INFERENCE = "/v2"
"""The Open Inference Protocol prescribes the shape of errors below this address."""
