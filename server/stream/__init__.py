"""Synthesis in pieces: the WebSocket and streamed answers."""
