"""Pages to listen to an evaluation: one with names and scores, and a blind one for ratings."""
