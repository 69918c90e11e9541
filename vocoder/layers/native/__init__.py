"""Passes over memory that numba compiles, run on torch's own threads."""
