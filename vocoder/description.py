"""What a synthesizer is, for programs and for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from vocoder.checkpoint import Checkpoint
from vocoder.config import to_dict

__all__ = ["described", "in_a_line"]


def described(name: str, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Return family, size, mel contract, provenance and measured quality of a model as plain data."""
    config: Any = checkpoint.model.config
    return {
        "name": name,
        "family": checkpoint.family,
        "parameters": sum(parameter.numel() for parameter in checkpoint.model.parameters()),
        "device": str(device),
        "dtype": str(dtype).removeprefix("torch."),
        "sigma": config.sigma,
        "corrections": config.corrections,
        "mel": to_dict(checkpoint.mel_config),
        "architecture": to_dict(config),
        "provenance": dict(checkpoint.provenance),
        "quality": dict(checkpoint.quality),
        "weights_sha256": checkpoint.weights_sha256,
    }


def in_a_line(info: Mapping[str, Any]) -> str:
    """Return the most important of what `described` returns."""
    mel, size = info["mel"], f"{info['parameters'] / 1e6:.1f} million parameters"
    contract = f"mels {mel['name']!r} of {mel['n_mels']} bands at {mel['sample_rate']} Hz"
    return f"<Synthesizer {info['name']!r}: {info['family']}, {size}, {contract}, {info['dtype']} on {info['device']}>"
