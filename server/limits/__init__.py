"""Limits on clients: who may send requests, how many, and for how long."""
