"""Fitting of adapters: pairs of mels of two contracts, and a small network that tells the one from the other."""
