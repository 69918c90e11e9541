import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vocoder.packing import Packing

CPU = torch.device("cpu")
LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=5)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(lengths=LENGTHS, gap=st.integers(1, 4), per_frame=st.integers(1, 3))
def test_what_is_packed_comes_out_again(lengths, gap, per_frame):
    packing = Packing(lengths, gap, CPU)
    pieces = [1.0 + torch.rand(2, length * per_frame) for length in lengths]
    row = packing.pack(pieces)
    assert row.shape == (1, 2, packing.frames * per_frame)
    for piece, unpacked in zip(pieces, packing.unpack(row), strict=True):
        torch.testing.assert_close(unpacked, piece, atol=0.0, rtol=0.0)
    empty = torch.nonzero(row[0, 0] == 0.0)[:, 0]
    assert empty.tolist() == packing.gaps(per_frame).tolist()
    assert len(empty) == per_frame * gap * len(lengths)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(lengths=LENGTHS, gap=st.integers(1, 3), per_frame=st.integers(1, 3))
def test_running_sums_and_held_values_are_those_of_each_alone(lengths, gap, per_frame):
    packing = Packing(lengths, gap, CPU)
    pieces = [torch.rand(1, length * per_frame, dtype=torch.float64) for length in lengths]
    running = packing.restarted(packing.pack(pieces)[0].cumsum(1))
    for piece, sums in zip(pieces, packing.unpack(running), strict=True):
        torch.testing.assert_close(sums, piece[0].cumsum(0))
    held = packing.held()
    for start, end in zip(packing.starts, packing.ends, strict=True):
        assert held[start:end].tolist() == list(range(start, end))
        assert held[end : end + gap].tolist() == [end - 1] * gap
