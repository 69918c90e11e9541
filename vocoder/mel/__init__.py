"""Mel-spectrograms: their contracts, how they are computed, converted, read and checked."""
