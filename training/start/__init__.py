"""Initial weights: those of other models, and values fitted to data."""
