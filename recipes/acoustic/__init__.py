"""An acoustic model: its training on speech with known durations, and its predictions of mels."""
