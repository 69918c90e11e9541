from __future__ import annotations

import struct
import subprocess
import sys

import pytest
import torch

from vocoder.layers.native.loop import bits, loop


def test_a_number_goes_through_as_its_bits():
    assert struct.pack("<q", bits(-0.3)) == struct.pack("<d", -0.3)


def test_a_loop_does_each_stripe_once_on_however_many_threads():
    add = loop("frame_kernel", "added_float32")
    assert add is not None
    x, moved, scale = torch.randn(1000, 24), torch.randn(1000, 24), torch.randn(24)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            out = torch.full_like(x, torch.nan)
            add(-(-1000 // 16), 16, 1000, 24, *(tensor.data_ptr() for tensor in (x, moved, scale, out)))
            torch.testing.assert_close(out, x + moved * scale)
    finally:
        torch.set_num_threads(threads)


def test_what_cannot_be_compiled_is_said_and_left_out():
    with pytest.warns(RuntimeWarning, match="numba cannot compile nothing here"):
        assert loop("frame_kernel", "nothing") is None


def test_there_is_no_loop_where_numba_does_not_compile():
    code = "from vocoder.layers.native.loop import loop; print(loop('frame_kernel', 'added_float32'))"
    environment = {"NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "None"
