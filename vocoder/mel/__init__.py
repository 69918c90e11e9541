"""Mel-spectrograms: contracts, computation, conversion, files and checks."""
