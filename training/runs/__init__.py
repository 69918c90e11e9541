"""Kinds of runs over a corpus; the file of each holds its losses, its configuration, its start and its objective."""
