"""Read PyTorch checkpoint files without importing or running anything that they name.

`torch.load(weights_only=True)` refuses modules pickled in the format before PyTorch 1.6, which NVIDIA published. Here
`torch.load` reads them with an unpickler that knows tensors and containers, and makes inert objects of modules.
"""

import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import IO, Any, ClassVar

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
"""values of a tuple, with those of the tuples in it: sixty tuples of the one before, twice, take bytes, but to use the
last as a key takes years, since Python looks at each value anew"""


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


_InPython: Any = pickle._Unpickler
"""pickle's unpickler as it is written in Python, where each step can be watched"""


class _Unpickler(_InPython):  # type: ignore[misc]
    """An unpickler that calls nothing but what is admitted here."""

    dispatch: ClassVar[dict[int, Any]] = dict(_InPython.dispatch)

    def __init__(self, file: IO[bytes], **options: Any) -> None:
        super().__init__(file, **options)
        self._sizes: dict[int, tuple[Any, int]] = {}
        """of tuples by `id`, each beside its tuple, which keeps that"""

    def _tuple(self, opcode: bytes) -> None:
        """Make a tuple; raises a CheckpointError if it holds more than `MAX_TUPLE` values."""
        _InPython.dispatch[opcode[0]](self)
        made = self.stack[-1]
        size = 1 + sum(self._sizes[id(item)][1] if id(item) in self._sizes else 1 for item in made)
        if size > MAX_TUPLE:
            raise CheckpointError("its pickle has tuples within tuples that hold more than any checkpoint needs")
        self._sizes[id(made)] = made, size

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


for _opcode in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3):
    _Unpickler.dispatch[_opcode[0]] = partial(_Unpickler._tuple, opcode=_opcode)
_PICKLE = SimpleNamespace(
    __name__="vocoder", Unpickler=_Unpickler, load=lambda file, **options: _Unpickler(file, **options).load()
)
"""what `torch.load` takes in place of the module `pickle`"""


def read_pickled(path: Path) -> Any:
    """Return the object that `torch.save` wrote, with modules replaced by inert ones and tensors on the CPU.

    Raises a CheckpointError if the file is damaged or no PyTorch file, or names what no checkpoint needs.
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
