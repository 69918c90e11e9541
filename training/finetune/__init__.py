"""`vocoder-train finetune`: turn recordings of a voice into a model directory."""
