"""Synthesize many mel files: batched in rows, with several processes, and resumable."""
