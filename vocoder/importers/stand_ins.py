"""Inert stand-ins for the classes and functions that a pickled PyTorch checkpoint names."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from vocoder.checkpoint import CheckpointError

STORAGE_DTYPES = MappingProxyType(
    {
        "FloatStorage": torch.float32,
        "DoubleStorage": torch.float64,
        "HalfStorage": torch.float16,
        "BFloat16Storage": torch.bfloat16,
        "LongStorage": torch.int64,
        "IntStorage": torch.int32,
        "ShortStorage": torch.int16,
        "CharStorage": torch.int8,
        "ByteStorage": torch.uint8,
        "BoolStorage": torch.bool,
    }
)

_PYTHON_2 = {"__builtin__": "builtins"}  # the names that protocol 2, which torch.save writes, keeps to
_MODEL_CLASSES = ("WaveGlow", "WN", "Invertible1x1Conv")
_MODEL_MODULES = ("glow", "glow_old")
_LAYERS = {
    "torch.nn.modules.container": ("ModuleList", "Sequential"),
    "torch.nn.modules.conv": ("Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d"),
    "torch.nn.modules.activation": ("ReLU", "LeakyReLU"),
    "torch.nn.utils.weight_norm": ("WeightNorm",),
    "torch.nn.parallel.data_parallel": ("DataParallel",),
    "torch.nn.parallel.distributed": ("DistributedDataParallel",),
    "torch.nn.backends.thnn": ("_get_thnn_function_backend", "THNNFunctionBackend"),
    "numpy": ("dtype",),
    "numpy.core.multiarray": ("scalar",),
    "numpy._core.multiarray": ("scalar",),
    "argparse": ("Namespace",),
}


class Inert:
    """What a pickle makes of an object whose class is not loaded: it accepts everything and does nothing.

    Attributes:
        qualified_name: module and name that the pickle gave.
        state: what the pickle would have restored.
    """

    qualified_name = ""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.state: dict[str, Any] = {}

    def __new__(cls, *_: Any, **__: Any) -> Inert:
        """Return an empty object, whatever the pickle passes."""
        made = super().__new__(cls)
        made.state = {}
        return made

    def __setstate__(self, state: Any) -> None:
        """Keep the state as data."""
        self.state = state if isinstance(state, dict) else {}


class StoragePiece:
    """The flat values of a storage, as read from the file."""

    def __init__(self, values: Tensor) -> None:
        self.values = values


def stand_ins(module: str, name: str) -> Any:
    """Return what stands for `module.name`, made anew for each file, or None where nothing is admitted.

    Every answer is a class or function defined here, a plain container, or a PyTorch constant: unpickling runs
    nothing else.
    """
    module = _PYTHON_2.get(module, module)
    if module in ("torch", "torch.storage") and name in STORAGE_DTYPES:
        return STORAGE_DTYPES[name]
    if module == "torch" and isinstance(found := vars(torch).get(name), torch.dtype):
        return found
    if (module, name) in _FUNCTIONS:
        return partial(_FUNCTIONS[module, name])  # a pickle may set attributes of what it is given
    last = module.rpartition(".")[2]
    if name in _LAYERS.get(module, ()) or (last in _MODEL_MODULES and name in _MODEL_CLASSES):
        return type(name, (Inert,), {"qualified_name": f"{module}.{name}"})
    return None


def _tensor(piece: Any, offset: Any, size: Any, stride: Any, *_: Any) -> Tensor:
    if not isinstance(piece, StoragePiece):
        raise CheckpointError("a tensor of the file has no storage")
    shape, steps = tuple(map(int, size)), tuple(map(int, stride))
    if len(shape) != len(steps) or min((*shape, *steps, int(offset)), default=0) < 0:
        raise CheckpointError(f"a tensor of the file has the impossible shape {shape} with strides {steps}")
    if math.prod(shape) > piece.values.numel():  # steps of 0 repeat values, without end
        raise CheckpointError(f"a tensor of the file of shape {shape} has more values than its storage")
    return torch.as_strided(piece.values, shape, steps, int(offset))  # PyTorch refuses what lies beyond the storage


def _mapping(*args: Any) -> OrderedDict[Any, Any]:
    return OrderedDict(*[arg for arg in args if isinstance(arg, (list, tuple, dict))][:1])


def _first(value: Any = (), *_: Any) -> Any:
    return value


_FUNCTIONS: MappingProxyType[tuple[str, str], Callable[..., Any]] = MappingProxyType(
    {
        ("torch._utils", "_rebuild_tensor"): _tensor,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("torch._utils", "_rebuild_parameter"): _first,
        ("torch._utils", "_rebuild_parameter_with_state"): _first,
        ("torch", "Size"): lambda values=(): tuple(map(int, values)),
        ("torch", "device"): lambda *_: None,
        ("collections", "OrderedDict"): _mapping,
        ("collections", "defaultdict"): _mapping,
        ("builtins", "dict"): _mapping,
        ("builtins", "set"): _first,
        ("builtins", "frozenset"): _first,
        ("_codecs", "encode"): lambda text, *_: str(text).encode("latin1"),
    }
)
