"""Kernels: functions over rows, compiled by numba and run on the threads of torch's pool.

An entry point has the form `def name(rows: range, bound: float, x: Matrix, ...)` and processes these rows. The threads
of a call take stripes of rows from a shared counter until none are left. Callers pass the number of rows, and the
parameters after `rows`: numbers, tensors, and tuples of them. `compilable` and `takes` say when compiled code may
replace plain operations.
"""

import ctypes
import functools
import inspect
import itertools
import logging
import multiprocessing
import secrets
import struct
import threading
import typing
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn

from vocoder.kernels.memory import Memory

logger = logging.getLogger(__name__)

PATIENCE = 2.0  # seconds of compilation after which it is logged
STRIPE, ROWS, OWN = range(1, 4)
"""positions of the launcher's integers in the arguments, after the counter, and of the first parameter"""
FLOATS = (torch.float32, torch.bfloat16)  # dtypes that kernels of several dtypes are compiled for
Value = Tensor | float | tuple[Any, ...] | list[Any] | None  # a parameter; a list is from `Kernel.packed`
Launch = tuple[int, Any, int]
"""a run of a kernel: the address of its code, its arguments in memory, and its number of threads"""
Layout = tuple[Any, ...]  # the types of parameters: int, float, a `Memory`, or a tuple of these


def compilable(x: Tensor, *dtypes: torch.dtype) -> bool:
    """Return whether a kernel may read x: on the CPU, of one of `dtypes` (default float32), and `takes(x)`."""
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


class Kernel:
    """A compiled entry point, which runs without the interpreter's lock.

    `code` is numba's result, which is kept alive with this object; `layout` are the parameters after the rows; and
    `stripe` is the number of rows that a thread takes at a time.
    """

    def __init__(self, code: Any, layout: Layout, stripe: int) -> None:
        self._code = code
        self._function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(code.address)
        self._kinds, self._stripe = [_flat((kind,)) for kind in layout], stripe
        self._format = f"{OWN}q" + "".join(
            "d" if kind is float else f"{1 + getattr(kind, 'dims', 0)}q" for kind in _flat(layout)
        )

    def __call__(self, rows: int, *values: Value) -> None:
        """Run the kernel over `rows` rows; values are its parameters after the rows."""
        arguments, threads = self._given(rows, values)
        pool = _pool() if threads > 1 else None
        if pool is None:
            self._function(arguments)
        else:
            pool(self._function, arguments, threads, 0)

    def launch(self, rows: int, *values: Value) -> Launch:
        """Return the same run for `in_turn`; the memory of its tensors must be kept until then."""
        return self._code.address, *self._given(rows, values)

    def packed(self, place: int, value: Value) -> list[Any]:
        """Return parameter `place` as its numbers in memory, for several runs; keep its tensors until the last one."""
        return _packed(self._kinds[place], value)

    def _given(self, rows: int, values: tuple[Any, ...]) -> tuple[Any, int]:
        """Return the arguments of a run in memory, and its number of threads."""
        packed: list[Any] = [0, self._stripe, rows]
        for kinds, value in zip(self._kinds, values, strict=True):
            packed += value if isinstance(value, list) else _packed(kinds, value)
        arguments = ctypes.create_string_buffer(struct.pack(self._format, *packed))
        return arguments, min(torch.get_num_threads(), -(-rows // self._stripe))


def in_turn(launches: Sequence[Launch]) -> None:
    """Run kernels one after another without the interpreter, whose work between them would find the caches full."""
    run = kernel("turns", "in_turn")
    assert run is not None
    pool = ctypes.cast(_pool(), ctypes.c_void_p).value if _pool() else 0
    rows = [[address, ctypes.addressof(arguments), threads] for address, arguments, threads in launches]
    run(len(rows), pool, torch.tensor(rows))


def _packed(kinds: list[Any], value: Value) -> list[Any]:
    packed: list[Any] = []
    for kind, each in zip(kinds, _flat((value,)), strict=True):
        packed += _place(kind, each) if isinstance(kind, Memory) else (each,)
    return packed


def _place(memory: Memory, value: Tensor | None) -> list[int]:
    if value is None:
        return [0] * (1 + memory.dims)
    if value.ndim != memory.dims or value.dtype != memory.dtype or not value.is_contiguous() or not value.is_cpu:
        raise TypeError(f"a kernel needs a contiguous {memory}, not {value.dtype} {tuple(value.shape)}")
    return [value.data_ptr(), *value.shape]


def _flat(values: Iterable[Any]) -> list[Any]:
    flat: list[Any] = []
    for value in values:
        flat += _flat(value) if isinstance(value, tuple) else (value,)
    return flat


@functools.cache
def kernel(module: str, name: str, *dtypes: torch.dtype) -> Kernel | None:
    """Return the kernel `name` of a module in this folder for these dtypes; None, with a warning, if numba fails.

    The first call compiles it, or loads it from disk if it was compiled before.
    """
    try:
        from numba import config  # takes a second to import

        if config.DISABLE_JIT:
            return None
        entry = getattr(import_module(f"vocoder.kernels.{module}"), name)
        _, *hints, _ = typing.get_type_hints(entry.py_func, include_extras=True).values()  # without rows and result
        layout = _layout(hints, dtypes)
        with announced():
            return Kernel(_compiled(entry, layout), layout, entry.py_func.stripe)
    except Exception as error:  # compilers and their libraries may raise anything
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        warnings.warn(f"numba cannot compile {name} here ({reason}): using slower code", RuntimeWarning, 2)
        return None


@contextmanager
def announced() -> Iterator[None]:
    """Log once per process if compilation in the `with` block takes longer than `PATIENCE`."""
    from numba.core.event import install_recorder

    with install_recorder("numba:compile") as recorder:  # stays empty if code comes from the cache
        timer = threading.Timer(PATIENCE, lambda: _log_compilation() if recorder.buffer else None)
        timer.daemon = True
        with suppress(RuntimeError):  # no more threads can start
            timer.start()
        try:
            yield
        finally:
            timer.cancel()


@functools.cache
def _log_compilation() -> None:
    if multiprocessing.current_process().name.rpartition("-")[2] in ("MainProcess", "1"):  # the first of a pool
        logger.warning(
            "compiling for this processor, which takes a minute or more at first; later processes use the cache "
            "beside the package, or in NUMBA_CACHE_DIR"
        )


@functools.cache
def _log_unsaved() -> None:
    logger.warning("cannot save compiled code, so each process compiles it: let NUMBA_CACHE_DIR be a folder with space")


def _layout(hints: Iterable[Any], dtypes: tuple[torch.dtype, ...]) -> Layout:
    """Return the types of parameters with these annotations."""
    layout: list[Any] = []
    for hint in hints:
        kind = getattr(hint, "__metadata__", (hint,))[0]
        if typing.get_origin(hint) is tuple:
            kind = _layout(typing.get_args(hint), dtypes)
        elif isinstance(kind, Memory) and isinstance(kind.dtype, int):
            kind = Memory(dtypes[kind.dtype], kind.dims)
        layout.append(kind)
    return tuple(layout)


def _compiled(entry: Any, layout: Layout) -> Any:
    """Compile the loop over stripes as a function of one pointer to the arguments, 64 bits each."""
    import numpy
    from numba import carray, cfunc
    from numba.core.bytecode import FunctionIdentity

    from vocoder.kernels.intrinsics import drawn, pointer

    names = {"carray": carray, "drawn": drawn, "pointer": pointer, "numpy": numpy}
    made: dict[str, Any] = {}
    exec(_loop(entry.py_func, layout), {"__name__": entry.__module__, "entry": entry} | names, made)
    (function,) = made.values()
    # numba tells the functions of a factory apart by numbers that begin at 1 in each process. Cached code of two
    # processes may thus have one name for two functions, of which the loader silently takes one for both.
    FunctionIdentity._unique_ids = itertools.count(secrets.randbits(62))
    try:
        return cfunc("void(voidptr)", nopython=True, cache=True)(function)
    except (RuntimeError, OSError):  # there is no folder for the cache, or it is full
        _log_unsaved()
        return cfunc("void(voidptr)", nopython=True)(function)


def _loop(entry: Callable[..., Any], layout: Layout) -> CodeType:
    """Return the code of a function that reads the arguments and calls `entry` for one stripe after another.

    numba caches compiled code by a function's name and file, so the name includes a checksum of its dependencies.
    """
    slots = itertools.count(OWN)
    given, size = _expression(layout, slots), next(slots)
    lines = [f"{name} = carray(data, ({size},), numpy.{kind})" for name, kind in (("a", "int64"), ("f", "float64"))]
    lines += [f"given = {given}", f"start = drawn(a.ctypes.data) * a[{STRIPE}]", f"while start < a[{ROWS}]:"]
    lines += [f"    entry(range(start, min(start + a[{STRIPE}], a[{ROWS}])), *given)"]
    lines += [f"    start = drawn(a.ctypes.data) * a[{STRIPE}]"]
    body = "\n".join(f"    {line}" for line in lines)
    name = f"{entry.__name__}_{zlib.crc32(body.encode(), _sources()):08x}"
    return compile(f"def {name}(data):\n{body}\n", inspect.getfile(entry), "exec")


def _expression(kind: Any, slots: Iterator[int]) -> str:
    """Return the code of a parameter, or of a tuple of them, which takes the next slots of the arguments."""
    if isinstance(kind, tuple):
        return "(" + "".join(f"{_expression(each, slots)}, " for each in kind) + ")"
    slot = next(slots)
    if not isinstance(kind, Memory):
        return f"{'a' if kind is int else 'f'}[{slot}]"
    shape = "".join(f"a[{next(slots)}], " for _ in range(kind.dims))
    dtype = str(kind.dtype).removeprefix("torch.")
    stored = "uint16" if dtype in ("float16", "bfloat16") else dtype
    return f"carray(pointer(a[{slot}]), ({shape}), numpy.{stored})"


@functools.cache
def _sources() -> int:
    """Return the checksum of all kernel files, since kernels call functions in other files."""
    total = 0
    for path in sorted(Path(__file__).parent.glob("*.py")):
        total = zlib.crc32(path.read_bytes(), total)
    return total


@functools.cache
def _pool() -> Any:
    """Return `GOMP_parallel(function, data, threads, flags)` of torch's OpenMP library, or None."""
    for path in sorted((Path(torch.__file__).parent / "lib").glob("libgomp*.so*")):
        try:
            parallel = ctypes.CDLL(str(path)).GOMP_parallel
        except (OSError, AttributeError):
            continue
        parallel.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
        parallel.restype = None
        return parallel
    return None
