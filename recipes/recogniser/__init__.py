"""The recogniser behind the perceptual loss of the distillation."""
