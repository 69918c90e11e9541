"""Turning recordings into a corpus: sources, conditioning, manifest, mels and pitch."""
