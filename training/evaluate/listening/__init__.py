"""The listening page of an evaluation."""
