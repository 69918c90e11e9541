"""Synthesize audio from mels: whole, batched in rows, or streamed, through one pipeline."""
