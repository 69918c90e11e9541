"""Evaluation: scores of generated speech against recordings, densities of recordings, and speed."""
