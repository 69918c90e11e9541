"""Corpora: where recordings lie in each known layout, who speaks them and under which licence."""
