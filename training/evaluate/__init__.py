"""How close generated speech comes to recordings, how likely a model finds them, and how fast it speaks."""
