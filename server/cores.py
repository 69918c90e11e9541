"""How many cores a thread computes on: the model's threads get what there is, every other thread one."""

from __future__ import annotations

import torch

__all__ = ["compute_on"]


def compute_on(cores: int) -> None:
    """Have the calling thread, and no other, compute on so many cores from now on.

    Two threads that both compute on all cores wait for each other at every barrier of both.
    """
    torch.get_num_threads()  # when first asked a thread takes over what another set last, which would undo this
    torch.set_num_threads(cores)
