"""A pretended GPU: shapes and devices are real, numbers are not, and no GPU is needed.

A tensor that is left on the CPU meets one on the device and raises, as it would there.
"""

import torch
from torch import nn

from vocoder.layers.product import Kept

CUDA = torch.device("cuda", 0)


def pretend(monkeypatch):
    """Take the place of what looks at values, of which there are none, and of what exchanges tensors in place."""
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
