"""A fake GPU: tensors have shapes and devices but no values, so no GPU is needed.

Mixing tensors of the CPU and of the fake GPU raises an error, as on a real one.
"""

import torch
from torch import nn

from vocoder.layers.product import Kept

CUDA = torch.device("cuda", 0)


def use_fake_gpu(monkeypatch):
    """Replace code that reads values, which fake tensors lack, or replaces tensors in place."""
    monkeypatch.setattr(Kept, "of", lambda _, parameters, make, *further: make())
    monkeypatch.setattr(nn.Module, "_apply", _replaced)


def _replaced(module, change, recurse=True):
    for part in module.modules():
        for name, tensor in part._parameters.items():
            if tensor is not None:
                part._parameters[name] = nn.Parameter(change(tensor.detach()), tensor.requires_grad)
        for name, tensor in part._buffers.items():
            if tensor is not None:
                part._buffers[name] = change(tensor)
    return module
