"""Audio to response bodies."""
