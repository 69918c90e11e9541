"""Evaluation: scores of generated speech against recordings, and speed."""
