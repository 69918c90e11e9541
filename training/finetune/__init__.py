"""`vocoder-train finetune`: from recordings of a voice to a model directory."""
