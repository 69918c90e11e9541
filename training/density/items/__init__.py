"""What density models are trained on: frames and patches of mels, digits, points of the plane."""
