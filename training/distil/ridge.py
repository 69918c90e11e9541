"""Linear regression with a penalty on large weights."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["ridge"]


def ridge(rows: Tensor, targets: Tensor, penalty: float = 1e-2) -> tuple[Tensor, Tensor]:
    """Return the weights (features, outputs) and intercept (outputs,) for rows (n, features), targets (n, outputs)."""
    mean, offset = rows.mean(dim=0), targets.mean(dim=0)
    centred = rows - mean
    gram = centred.T @ centred / len(rows) + penalty * torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device)
    weight = torch.linalg.solve(gram, centred.T @ (targets - offset) / len(rows))
    return weight, offset - mean @ weight
