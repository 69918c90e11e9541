"""Synthesis in pieces: the WebSocket and chunked answers."""
