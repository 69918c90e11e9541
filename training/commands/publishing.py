"""Writing the directory of a trained model to share."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from training.critics.adversary import copy_critics
from training.model_card import licence_of, model_card, unknown_licences
from training.provenance import with_inheritance
from vocoder.checkpoint import load_model, save_model
from vocoder.config import to_dict


def publish(
    model: Path,
    output: Path,
    quality: Mapping[str, Any],
    notes: str = "",
    corrections: int | None = None,
    dtype: str = "float16",
) -> None:
    """Write the directory of a trained model, and print its size and the licence of its weights.

    `quality` is a block of quality.json, or empty for the scores that the model already has; `notes` is Markdown.
    Raises ValueError if the model cannot be used; the text says why.
    """
    checkpoint = load_model(model)
    config: Any = checkpoint.model.config
    if corrections is not None:
        if not hasattr(config, "corrections"):
            raise ValueError("--corrections is for vocoders; this model makes no audio")
        checkpoint.model.config = replace(config, corrections=corrections)
    scores = dict(quality or checkpoint.quality)
    provenance, mel = with_inheritance(checkpoint.provenance), to_dict(checkpoint.mel_config)
    parameters = sum(parameter.numel() for parameter in checkpoint.model.parameters())
    card = model_card(output.name, checkpoint.family, parameters, mel, provenance, scores, notes)
    save_model(output, checkpoint.model, checkpoint.mel_config, provenance, scores, getattr(torch, dtype), card)
    critics = (
        ", with the critics that it was trained with" if copy_critics(model, output, getattr(torch, dtype)) else ""
    )
    size = (output / "model.safetensors").stat().st_size
    print(f"{output}: {parameters:,} parameters, {size / 1e6:.1f} MB in {dtype}{critics}")
    print(f"licence of the weights: {licence_of(provenance)}")
    for warning in unknown_licences(provenance):
        print(f"WARNING: {warning}", file=sys.stderr)
