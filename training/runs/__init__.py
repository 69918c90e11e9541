"""The kinds of runs over a corpus; each has a file with its losses, configuration, start and objective."""
