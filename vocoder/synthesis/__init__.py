"""From mels to audio: whole, in rows, and in streams, by one pipeline."""
