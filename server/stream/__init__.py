"""Synthesis in chunks: the WebSocket and streamed responses."""
