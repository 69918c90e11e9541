"""Fitting adapters: pairs of mels in two mel configs, and a small network that maps one to the other."""
