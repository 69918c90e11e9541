"""Gradients of one phase: only its own parameters receive them, and all processes see their mean.

Gradients are averaged explicitly rather than by a DistributedDataParallel wrapper, because phases freeze each other's
parameters, may be skipped, may call the model several times and may differentiate inside the loss.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from accelerate import Accelerator
from torch import Tensor, nn

__all__ = ["average_gradients", "only_trainable", "share_buffers", "share_state"]


@contextmanager
def only_trainable(module: nn.Module, parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Freeze all of `module` except `parameters`, whose gradients are cleared; undo the freeze at the end."""
    chosen = {id(parameter) for parameter in parameters}
    before = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    for parameter, requires_grad in before:
        parameter.requires_grad_(requires_grad and id(parameter) in chosen)
    for parameter in parameters:
        parameter.grad = None
    try:
        yield
    finally:
        for parameter, requires_grad in before:
            parameter.requires_grad_(requires_grad)


def average_gradients(parameters: Sequence[nn.Parameter], loss: Tensor, accelerator: Accelerator) -> Tensor:
    """Replace gradients by their mean over the processes and return the mean loss, in one reduction.

    A parameter without a gradient counts as zero, and keeps none where no process has one.
    """
    if accelerator.num_processes == 1:
        return loss.detach()
    present = torch.tensor([float(parameter.grad is not None) for parameter in parameters], device=loss.device)
    pieces = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    mine = torch.cat([loss.detach().float().reshape(1), present, *(piece.float().reshape(-1) for piece in pieces)])
    flat: Tensor = accelerator.reduce(mine, reduction="mean")
    shares = flat[1 : 1 + len(parameters)].tolist()
    means = torch.split(flat[1 + len(parameters) :], [parameter.numel() for parameter in parameters])
    for parameter, mean, share in zip(parameters, means, shares, strict=True):
        parameter.grad = mean.view_as(parameter).to(parameter.dtype) if share > 0 else None
    return flat[0]


def share_state(module: nn.Module, accelerator: Accelerator) -> None:
    """Give every process the main process's parameters and buffers."""
    _share([*(parameter.data for parameter in module.parameters()), *module.buffers()], accelerator)


def share_buffers(module: nn.Module, accelerator: Accelerator) -> None:
    """Give every process the main process's buffers (running statistics would otherwise drift apart)."""
    _share(list(module.buffers()), accelerator)


def _share(tensors: list[Tensor], accelerator: Accelerator) -> None:
    if accelerator.num_processes == 1:
        return
    for dtype in sorted({tensor.dtype for tensor in tensors}, key=str):
        group = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = torch.cat([tensor.reshape(-1) for tensor in group])
        flat = flat.to(torch.uint8) if dtype == torch.bool else flat
        torch.distributed.broadcast(flat, src=0)
        pieces = torch.split(flat, [tensor.numel() for tensor in group])
        for tensor, piece in zip(group, pieces, strict=True):
            tensor.copy_(piece.view_as(tensor))
