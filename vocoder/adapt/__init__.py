"""Convert any mels to those of a model: exactly, with a shift in time, or through an adapter."""
