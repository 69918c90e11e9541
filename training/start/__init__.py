"""What models start from: weights of other models, and values fitted to data."""
