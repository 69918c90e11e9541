"""Fitting of adapters: pairs of mels of two mel configs, and a small network that tells the one from the other."""
