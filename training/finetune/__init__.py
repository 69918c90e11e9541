"""Fine-tuning the shipped model to a voice: `vocoder-train finetune`, from recordings to a model directory."""
