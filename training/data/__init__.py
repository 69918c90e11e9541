"""Corpora on disk, and what training draws from them."""
