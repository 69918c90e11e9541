"""Where compiled code may stand in for plain operations."""

import torch
from torch import Tensor, nn

FLOATS = (torch.float32, torch.bfloat16)
"""dtypes that kernels of several dtypes are compiled for"""


def compilable(x: Tensor, *dtypes: torch.dtype) -> bool:
    """Return whether a kernel may read x: on the CPU, of one of these dtypes (float32 if left out), and `takes(x)`."""
    return x.device.type == "cpu" and x.dtype in (dtypes or (torch.float32,)) and takes(x)


def takes(x: Tensor) -> bool:
    """Return whether x needs no gradient, and is not traced, compiled, autocast, transformed or of a subclass."""
    return not (
        (torch.is_grad_enabled() and x.requires_grad)
        or torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch.is_autocast_enabled(x.device.type)
        or torch._C._functorch.peek_interpreter_stack() is not None
        or torch.utils._python_dispatch._get_current_dispatch_mode() is not None
        or type(x) not in (Tensor, nn.Parameter)
    )
