"""Whether something looks at the operations on a tensor, so that plain ones are wanted."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["watched"]


def watched(x: Tensor) -> bool:
    """Return whether x is traced, compiled, cast automatically, transformed or of a kind of its own."""
    return (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch.is_autocast_enabled(x.device.type)
        or torch._C._functorch.peek_interpreter_stack() is not None
        or torch.utils._python_dispatch._get_current_dispatch_mode() is not None
        or type(x) not in (Tensor, nn.Parameter)
    )
