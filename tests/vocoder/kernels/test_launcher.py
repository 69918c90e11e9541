import time

import numba
import pytest
import torch
from numba.core.event import trigger_event

from vocoder.kernels import launcher
from vocoder.kernels.launcher import announced, kernel


def test_a_kernel_does_each_stripe_once_on_however_many_threads():
    add = kernel("block", "added", torch.float32)
    x, moved, scale = torch.randn(1000, 24), torch.randn(1000, 24), torch.randn(24)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            out = torch.full_like(x, torch.nan)
            add(1000, x, moved, scale, out)
            torch.testing.assert_close(out, x + moved * scale)
    finally:
        torch.set_num_threads(threads)


def test_a_kernel_takes_only_tensors_as_its_entry_point_names_them():
    add = kernel("block", "added", torch.bfloat16)
    x, moved, scale = torch.zeros(4, 8), torch.ones(4, 8, dtype=torch.bfloat16), torch.ones(8)
    out = torch.zeros(4, 8)
    for wrong in (
        (x.double(), moved, scale),
        (x, moved.float(), scale),
        (x, moved, scale[None]),
        (x.t(), moved, scale),
    ):
        with pytest.raises(TypeError, match="a kernel takes contiguous"):
            add(4, *wrong, out)
    with pytest.raises(ValueError, match="zip"):
        add(4, x, moved, scale)
    add(4, x, moved, scale, out)
    assert torch.equal(out, torch.ones(4, 8))


def test_a_long_compilation_is_said_once(monkeypatch, caplog):
    launcher._say_that_it_compiles.cache_clear()
    monkeypatch.setattr(launcher, "PATIENCE", 0.01)
    with announced():
        time.sleep(0.1)
    assert not caplog.messages  # from the cache, however slowly
    until = time.monotonic() + 10
    with announced(), trigger_event("numba:compile"):
        while not caplog.messages and time.monotonic() < until:
            time.sleep(0.01)
    with announced(), trigger_event("numba:compile"):
        time.sleep(0.1)
    assert [message.partition(",")[0] for message in caplog.messages] == ["compiling for this processor"]


def test_what_cannot_be_compiled_is_said_and_left_out():
    with pytest.warns(RuntimeWarning, match="numba cannot compile nothing here"):
        assert kernel("block", "nothing") is None


def test_there_is_no_kernel_where_numba_does_not_compile(monkeypatch):
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    assert kernel.__wrapped__("block", "added", torch.float32) is None
