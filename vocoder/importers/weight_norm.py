"""Weight normalisation, in the three ways that checkpoints spell it, folded into plain weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from vocoder.checkpoint import CheckpointError

SPELLINGS = (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1"))
"""magnitude and direction as `torch.nn.utils.weight_norm` names them, and as parametrizations do"""


def folded(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return all tensors in float32, with g * v / |v| for each normalised weight; |v| is over all but the first axis.

    Raises a CheckpointError if a weight has one half of its normalisation only, is there twice, or the halves do not
    fit.
    """
    plain = dict(tensors)
    for magnitude, direction in SPELLINGS:
        stems = {name.removesuffix(end) for name in tensors for end in (magnitude, direction) if _ends(name, end)}
        for stem in sorted(stems):
            g, v = plain.pop(f"{stem}{magnitude}", None), plain.pop(f"{stem}{direction}", None)
            if g is None or v is None:
                lacking = magnitude if g is None else direction
                raise CheckpointError(f"weight norm of {stem}weight lacks {stem}{lacking}")
            if f"{stem}weight" in plain:
                raise CheckpointError(f"{stem}weight is there both plain and normalised")
            plain[f"{stem}weight"] = _folded(stem, g, v)
    return {name: value.float() if value.is_floating_point() else value for name, value in plain.items()}


def _ends(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")


def _folded(stem: str, g: Tensor, v: Tensor) -> Tensor:
    if g.numel() != v.shape[0]:
        raise CheckpointError(f"weight norm of {stem}weight has {g.numel()} magnitudes for {v.shape[0]} rows")
    rows = v.double().flatten(1)
    scale = g.double().reshape(-1, 1) / rows.norm(dim=1, keepdim=True)
    weight: Tensor = (rows * scale).reshape(v.shape).float()
    return weight
