"""Kinds of runs over a corpus: the configuration of each, and what it trains."""
