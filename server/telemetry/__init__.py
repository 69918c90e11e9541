"""Logs, metrics and gauges."""
