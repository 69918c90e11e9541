"""From the mels of any contract to those of a model: exactly, by a shift in time, or through an adapter."""
