"""What each loss of a distillation is worth."""
