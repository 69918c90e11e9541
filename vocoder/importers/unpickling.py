"""Read PyTorch checkpoint files without importing or running anything that they name.

`torch.load(weights_only=True)` refuses modules pickled in the format before PyTorch 1.6, which NVIDIA published. Here
`torch.load` reads them with an unpickler that knows tensors and containers, and turns modules into inert objects.
"""

import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, ClassVar

import torch
from torch import _utils
from torch.serialization import MAGIC_NUMBER

from vocoder.checkpoint import CheckpointError

LEGACY_START = pickle.dumps(MAGIC_NUMBER, protocol=2)  # first bytes of a file in the format before PyTorch 1.6

_MODELS = {f"{module}.{name}" for module in ("glow", "glow_old") for name in ("WaveGlow", "WN", "Invertible1x1Conv")}
_INERT: Mapping[str, tuple[str, ...]] = {
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
_MADE: Mapping[str, Callable[..., Any]] = {
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
MAX_TUPLE = 10**6
"""most values in a tuple, nested tuples included: sixty tuples that each hold the previous one twice take few bytes,
but using the last one as a key takes years, since Python hashes each value anew"""


class Inert:
    """A stand-in for an object whose class is not loaded: it accepts everything and does nothing.

    `qualified_name` is the module and name in the pickle, and `state` the state to restore.
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


_InPython: Any = pickle._Unpickler  # pickle's unpickler written in Python, where each step can be overridden


class _Unpickler(_InPython):  # type: ignore[misc]
    """An unpickler that calls only the functions listed here."""

    dispatch: ClassVar[dict[int, Any]] = dict(_InPython.dispatch)

    def __init__(self, file: IO[bytes], **options: Any) -> None:
        super().__init__(file, **options)
        self._sizes: dict[int, tuple[Any, int]] = {}
        """id of a tuple -> the tuple, which keeps the id valid, and its size"""

    def _tuple(self, opcode: bytes) -> None:
        """Build a tuple; raises a CheckpointError if it holds more than `MAX_TUPLE` values."""
        _InPython.dispatch[opcode[0]](self)
        made = self.stack[-1]
        size = 1 + sum(self._sizes[id(item)][1] if id(item) in self._sizes else 1 for item in made)
        if size > MAX_TUPLE:
            raise CheckpointError("its pickle has nested tuples with more values than any checkpoint needs")
        self._sizes[id(made)] = made, size

    def find_class(self, module: str, name: str) -> Any:
        """Return the replacement of a class or function in the pickle; raises a CheckpointError if there is none."""
        module = "builtins" if module == "__builtin__" else module  # torch.save keeps the names of Python 2
        if f"{module}.{name}" in _MADE:
            return partial(_MADE[f"{module}.{name}"])  # a copy, since a pickle may set its attributes
        if module == "torch" and isinstance(found := vars(torch).get(name), torch.dtype):
            return found
        if f"{module.rpartition('.')[2]}.{name}" in _MODELS or name in _INERT.get(module, ()):
            return type(name, (Inert,), {"qualified_name": f"{module}.{name}"})
        raise CheckpointError(f"its pickle names {module}.{name}, which no checkpoint needs and which is not run")


for _opcode in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3):
    _Unpickler.dispatch[_opcode[0]] = partial(_Unpickler._tuple, opcode=_opcode)
_PICKLE = SimpleNamespace(
    __name__="vocoder", Unpickler=_Unpickler, load=lambda file, **options: _Unpickler(file, **options).load()
)
"""replaces the module `pickle` in `torch.load`"""


def read_pickled(path: Path) -> Any:
    """Read the object that `torch.save` wrote, with inert objects for modules and tensors on the CPU.

    Raises a CheckpointError if the file is damaged, not a PyTorch file, or names code that no checkpoint needs.
    """
    try:
        _check_container(path)
        with warnings.catch_warnings(action="ignore"):  # a module's source is missing
            return torch.load(path, map_location="cpu", pickle_module=_PICKLE, weights_only=False)
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be imported: {error}") from None
    except OSError:
        raise
    except Exception as error:  # whatever a damaged or hostile pickle makes the unpickler raise
        raise CheckpointError(f"{path} is not a PyTorch checkpoint, or is damaged ({error})") from error


def _check_container(path: Path) -> None:
    """Raise an error unless a file begins like one of the two formats of `torch.save` and is not compressed."""
    with path.open("rb") as file:
        start = file.read(len(LEGACY_START))
    if start.startswith(b"PK"):
        with zipfile.ZipFile(path) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise CheckpointError("it has compressed parts, which torch.save never writes")
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                raise CheckpointError("it is a TorchScript program")
    elif start != LEGACY_START:
        raise ValueError("it does not start like a file of torch.save")
