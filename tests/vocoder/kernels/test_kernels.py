import itertools
import time
from unittest.mock import Mock

import numba
import numpy as np
import pytest
import torch
from numba import njit
from numba.core.bytecode import FunctionIdentity
from numba.core.event import trigger_event

from vocoder.kernels import launcher
from vocoder.kernels.intrinsics import entry, like, wide
from vocoder.kernels.lanes import exp2, log2
from vocoder.kernels.launcher import announced, kernel
from vocoder.kernels.memory import Memory
from vocoder.kernels.turns import in_turn


def test_a_kernel_processes_each_stripe_once_with_any_number_of_threads():
    gated = kernel("gate", "gated", torch.float32)
    gates, offset = torch.randn(1000, 48), torch.randn(1, 48)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            out = torch.full((1000, 24), torch.nan)
            gated(1000, 0, 1000, gates, offset, out, (None, None, None))
            tanh, sigmoid = (gates + offset).chunk(2, dim=1)
            torch.testing.assert_close(out, tanh.tanh() * sigmoid.sigmoid())
    finally:
        torch.set_num_threads(threads)


def test_a_kernel_only_takes_tensors_that_match_its_signature():
    gated = kernel("gate", "gated", torch.bfloat16)
    gates, offset = torch.zeros(4, 16, dtype=torch.bfloat16), torch.zeros(1, 16)
    out, none = torch.ones(4, 8, dtype=torch.bfloat16), (None, None, None)
    for invalid in ((gates.double(), offset, out), (gates, offset[0], out), (gates, offset, out.t())):
        with pytest.raises(TypeError, match="a kernel needs a contiguous"):
            gated(4, 0, 4, *invalid, none)
    with pytest.raises(ValueError, match="zip"):
        gated(4, 0, 4, gates, offset, out)
    gated(4, 0, 4, gates, offset, out, none)
    assert not out.any()


def test_code_of_two_processes_has_no_name_in_common(monkeypatch):
    """The loader silently takes one of two functions of the same name for both, so audio would be wrong."""
    monkeypatch.setattr("numba.core.ccallback.CFunc.enable_caching", lambda code: None)
    names = []
    for _ in range(2):
        monkeypatch.setattr(FunctionIdentity, "_unique_ids", itertools.count(1))  # as in a new process
        code = launcher._compiled(entry(stripe=1)(in_turn.py_func), (int, Memory(torch.int64, 2)))
        names.append({f.name for f in code._library.get_defined_functions() if "in_turn" in f.name})
    assert [len(each) for each in names] == [3, 3]
    assert not names[0] & names[1]


def test_a_long_compilation_is_logged_once(monkeypatch, caplog):
    launcher._log_compilation.cache_clear()
    monkeypatch.setattr(launcher, "PATIENCE", 0.01)
    with announced():
        time.sleep(0.1)
    assert not caplog.messages  # loading from the cache is not compiling
    deadline = time.monotonic() + 10
    with announced(), trigger_event("numba:compile"):
        while not caplog.messages and time.monotonic() < deadline:
            time.sleep(0.01)
    with announced(), trigger_event("numba:compile"):
        time.sleep(0.1)
    assert [message.partition(",")[0] for message in caplog.messages] == ["compiling for this processor"]


def test_kernels_that_cannot_be_compiled_are_skipped_with_a_warning(monkeypatch):
    with pytest.warns(RuntimeWarning, match="numba cannot compile nothing here"):
        assert kernel("panels", "nothing") is None
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert kernel.__wrapped__("gate", "gated", torch.float32) is None


def test_kernels_work_without_space_for_their_code_or_for_a_thread(monkeypatch, caplog):
    launcher._log_unsaved.cache_clear()
    unsaved = numba.cfunc("void(voidptr)", nopython=True)
    monkeypatch.setattr(numba, "cfunc", Mock(side_effect=[OSError("No space left on device"), unsaved]))
    monkeypatch.setattr(launcher.threading.Timer, "start", Mock(side_effect=RuntimeError("can't start new thread")))
    assert kernel.__wrapped__("turns", "in_turn") is not None
    assert [message.partition(",")[0] for message in caplog.messages] == ["cannot save compiled code"]


@njit
def _apply(x, out, which):
    for i in range(x.shape[0]):
        out[i] = exp2(x[i]) if which == 0 else log2(x[i])


def test_powers_and_logarithms_equal_those_of_numpy_up_to_rounding():
    x, out = np.linspace(-59, 59, 10001, dtype=np.float32), np.empty(10001, np.float32)
    _apply(x, out, 0)
    np.testing.assert_allclose(out, np.exp2(x.astype(np.float64)), rtol=3e-7)
    powers = np.exp2(np.linspace(-60, 60, 10001)).astype(np.float32)
    _apply(powers, out, 1)
    np.testing.assert_allclose(out, np.log2(powers.astype(np.float64)), rtol=3e-7, atol=3e-7)


@njit
def _round_trip(x, kept, back):
    for i in range(x.shape[0]):
        kept[i] = like(x[i], kept[i])
        back[i] = wide(kept[i])


def test_bfloat16_is_stored_as_the_upper_half_of_a_rounded_float32():
    x = np.array([1.0, -2.5, 1 + 2**-8 + 2**-16, 3e38, np.nan, 0.0], np.float32)
    kept, back = np.zeros(6, np.uint16), np.empty(6, np.float32)
    _round_trip(x, kept, back)
    np.testing.assert_allclose(back[[0, 1, 3, 5]], x[[0, 1, 3, 5]], rtol=2**-8)
    assert back[2] == 1 + 2**-7
    assert np.isnan(back[4])
