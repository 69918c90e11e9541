"""An acoustic model, from speech with known durations to the mels that it predicts."""
