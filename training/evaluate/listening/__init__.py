"""Pages on which to hear what an evaluation compared: one with names and scores, one without, for ratings."""
