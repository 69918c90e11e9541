"""Read PyTorch checkpoint files without importing or running anything that they name.

`torch.load(weights_only=True)` refuses modules pickled in the format before PyTorch 1.6, which NVIDIA published. Here
`torch.load` reads them with an unpickler that knows tensors and containers, and makes inert objects of modules.
"""

import pickle
import pickletools
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import IO, Any

import torch
from torch import _utils
from torch.serialization import MAGIC_NUMBER

from vocoder.checkpoint import CheckpointError

LEGACY_START = pickle.dumps(MAGIC_NUMBER, protocol=2)
"""how files of the format before PyTorch 1.6 begin"""

_MODEL_CLASSES = ("WaveGlow", "WN", "Invertible1x1Conv")
_MODEL_MODULES = ("glow", "glow_old")
_INERT = MappingProxyType(
    {
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
)
_MADE: MappingProxyType[str, Callable[..., Any]] = MappingProxyType(
    {
        "torch._utils._rebuild_tensor": _utils._rebuild_tensor,
        "torch._utils._rebuild_tensor_v2": _utils._rebuild_tensor_v2,
        "torch._utils._rebuild_parameter": lambda data, *_: data,
        "torch._utils._rebuild_parameter_with_state": lambda data, *_: data,
        "torch.Size": torch.Size,
        "torch.device": torch.device,
        "collections.OrderedDict": OrderedDict,
        "collections.defaultdict": lambda *_: {},
        "builtins.dict": dict,
        "builtins.set": set,
        "_codecs.encode": lambda text, *_: str(text).encode("latin1"),
    }
)
MAX_TUPLE = 10**6
TUPLES = ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3")
MARK = pickletools.markobject


class Inert:
    """An object whose class is not loaded: it accepts everything and does nothing.

    `qualified_name` is the module and name that the pickle gave, and `state` what it would have restored.
    """

    qualified_name = ""
    state: dict[str, Any]

    def __new__(cls, *_: Any, **__: Any) -> "Inert":
        """Return an empty object, whatever the pickle passes."""
        made = super().__new__(cls)
        made.state = {}
        return made

    def __setstate__(self, state: Any) -> None:
        """Keep the state as data."""
        self.state = state if isinstance(state, dict) else {}


class _Unpickler(pickle.Unpickler):
    """An unpickler that calls nothing but what is admitted here."""

    def __init__(self, file: IO[bytes], **options: Any) -> None:
        check_tuples(file)
        super().__init__(file, **options)

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a class or function that the pickle names; raises a CheckpointError for any other."""
        module = "builtins" if module == "__builtin__" else module  # of Python 2, whose names torch.save keeps
        if f"{module}.{name}" in _MADE:
            return partial(_MADE[f"{module}.{name}"])  # a pickle may set attributes of what it is given
        if module == "torch" and isinstance(found := vars(torch).get(name), torch.dtype):
            return found
        own = module.rpartition(".")[2] in _MODEL_MODULES and name in _MODEL_CLASSES
        if own or name in _INERT.get(module, ()):
            return type(name, (Inert,), {"qualified_name": f"{module}.{name}"})
        raise CheckpointError(f"its pickle asks for {module}.{name}, which no checkpoint needs and which is not run")


def check_tuples(file: IO[bytes]) -> None:
    """Raise a CheckpointError if a tuple holds, with the tuples within it, more than a million values.

    Sixty tuples of the one before, twice, take bytes. To use the last as a key takes Python, which counts each value
    anew, years. The pickle begins where the file stands, which is left there.
    """
    start = file.tell()
    stack: list[Any] = []  # sizes of what the unpickler would have there, and marks
    memo: dict[int, Any] = {}
    for operation, argument, _ in pickletools.genops(file):
        name, before = operation.name, operation.stack_before
        if name == "MEMOIZE" or name.endswith("PUT"):
            memo[len(memo) if name == "MEMOIZE" else int(str(argument))] = stack[-1]
            continue
        count, taken = len(before), []
        if MARK in before or (name == "POP" and stack[-1] is MARK):
            while (item := stack.pop()) is not MARK:
                taken.append(item)
            count = before.index(MARK) if MARK in before else 0
        taken += stack[len(stack) - count :]
        del stack[len(stack) - count :]
        if name.endswith("GET"):
            stack.append(memo[int(str(argument))])
        elif name == "DUP":
            stack += taken * 2
        else:
            size = 1 + sum(taken) if name in TUPLES else 1
            stack += [MARK if kind is MARK else size for kind in operation.stack_after]
        if name in TUPLES and stack[-1] > MAX_TUPLE:
            raise CheckpointError("its pickle has tuples within tuples that hold more than any checkpoint needs")
    file.seek(start)


_PICKLE = SimpleNamespace(
    __name__="vocoder", Unpickler=_Unpickler, load=lambda file, **options: _Unpickler(file, **options).load()
)
"""what `torch.load` takes in place of the module `pickle`"""


def read_pickled(path: Path) -> Any:
    """Return the object that `torch.save` wrote, with modules replaced by inert ones and tensors on the CPU.

    Raises a CheckpointError if the file is damaged or no PyTorch file, or names a class or function that no checkpoint
    needs.
    """
    try:
        _check_container(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that the source of a module is not there
            return torch.load(path, map_location="cpu", pickle_module=_PICKLE, weights_only=False)
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be imported: {error}") from None
    except OSError:
        raise
    except Exception as error:  # whatever a damaged or hostile pickle makes the unpickler raise
        raise CheckpointError(f"{path} is no PyTorch checkpoint, or is damaged ({error})") from error


def _check_container(path: Path) -> None:
    """Raise unless a file begins like one of the two formats of `torch.save`, and nothing in it is packed."""
    with path.open("rb") as file:
        start = file.read(len(LEGACY_START))
    if start.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise CheckpointError("it has compressed parts, which torch.save never writes")
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise CheckpointError("it is a TorchScript program")
    elif start != LEGACY_START:
        raise ValueError("it does not start as a file of torch.save does")
