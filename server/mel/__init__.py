"""Mels from request bodies."""
