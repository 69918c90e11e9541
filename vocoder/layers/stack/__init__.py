"""The gated WaveNet stack of teacher, student and couplings."""
