"""The gated WaveNet stack that teacher, student and couplings share."""
