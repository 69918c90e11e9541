"""Mel-spectrograms: configs, computation, conversion, files and checks."""
