"""Kernels compiled by numba, and their launcher, which runs them on torch's threads."""
