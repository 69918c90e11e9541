"""The contrastive loss: what another utterance's mel would have the student say (Parallel WaveNet, section 4.3)."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["contrastive", "exchanged"]


def contrastive(kl_of_others: Tensor, bound: float | None) -> Tensor:
    """Return the loss, minus the divergence from the teacher under other mels; it falls as that divergence grows.

    Args:
        kl_of_others: (B,) nats per sample, between the student under its own mel and the teacher under another's.
        bound: the divergence is counted as bound * tanh(kl / bound), since a teacher that is sharp under the wrong mel
            makes it grow without limit and nothing is gained beyond a few nats; `None` as published.

    Returns:
        a scalar, the mean over the batch.
    """
    counted = kl_of_others if bound is None else bound * torch.tanh(kl_of_others / bound)
    return -counted.mean()


def exchanged(mel: Tensor) -> Tensor:
    """Give each item the mel (B, n_mels, frames) of another.

    Raises:
        ValueError: there is just one.
    """
    if mel.shape[0] < 2:
        raise ValueError("the contrastive loss needs batches of at least two utterances")
    return mel.roll(1, dims=0)
