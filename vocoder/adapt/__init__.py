"""Convert mels to a model's mel config: exactly, with a shift in time, or through an adapter."""
