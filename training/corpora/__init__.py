"""Recordings made into a corpus: its sources, its conditions, its manifest."""
