"""The training loop, for any objective."""
