"""The page to listen to an evaluation."""
