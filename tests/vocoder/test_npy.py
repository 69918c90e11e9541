import numpy as np
import pytest
from http_helpers import npy
from hypothesis import given
from hypothesis import strategies as st

from vocoder.npy import FLOATS, MAGIC, NpyError, kind_of, read_array, read_header, read_mel


def with_header(text):
    return MAGIC + b"\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin1")


@given(
    st.lists(st.integers(0, 4), min_size=0, max_size=4),
    st.sampled_from(["<f4", "<f2", ">f8", "|u1"]),
    st.sampled_from("CF"),
    st.sampled_from([(1, 0), (2, 0)]),
)
def test_arrays_written_by_numpy_are_read(shape, dtype, order, version):
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype, order=order)
    found = read_array(npy(array, version), (dtype,))
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    "text",
    [
        "{'shape': (80L, 6L), 'descr': '<f4', 'fortran_order': False}",
        "{\"descr\": \"<f4\", \"fortran_order\": False, \"shape\": (80, 6)}",
        "{ 'descr' : '<f4' , 'fortran_order' : False , 'shape' : ( 80 , 6 ) , }",
    ],
)  # fmt: skip
def test_headers_written_by_other_programs_are_read(text):
    found = read_header(with_header(text))
    assert (found.descr, found.order, found.shape, found.start) == ("<f4", "C", (80, 6), 10 + len(text))


@pytest.mark.parametrize("shape", ["5", "(-5,)", "(5.0,)", "(True,)", "(1_0,)", "(0x5,)", "(,)", "(5,,)", "[" * 900])
def test_invalid_shapes_are_rejected(shape):
    with pytest.raises(NpyError):
        read_header(with_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}"))


VALID = npy(np.zeros((80, 6), np.float32))
TEXT = "{'descr': '<f4', 'fortran_order': %s, 'shape': (80, %s)}"


@pytest.mark.parametrize(
    "content",
    [
        *(VALID[:cut] for cut in (0, 3, 8, 60, 127, 128, -1)),
        VALID.replace(b"NUMPY\x01", b"NUMPY\x09"),
        *map(with_header, ("[1, 2]", "{'descr': '<f4'}", "__import__('os')", TEXT % (3, 6), TEXT % ("False", 10**300))),
        *map(with_header, ((TEXT % ("False", 6)).ljust(2000), TEXT[:-1] % ("False", 6), TEXT % (True, "6), 'x': (6"))),
        *(VALID.replace(b"'<f4'", descr) for descr in (b"7    ", b"'O'  ", b"[[3]]")),
    ],
)
def test_invalid_files_are_rejected(content):
    with pytest.raises(NpyError):
        read_array(content, ("<f4",))


@given(st.text(alphabet="{}()[]'\",:<f4L0123456789 descrfotan_shpTulFix\\", max_size=120))
def test_any_header_text_is_read_or_rejected(text):
    try:
        found = read_header(with_header(text))
        read_array(with_header(text) + bytes(80), FLOATS)
    except NpyError:
        return
    assert all(f"{size}" in text for size in found.shape)


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (b"", "it is empty"),
        (b"\x48" + bytes(7) + b"{", "it is a safetensors file: save the mel itself with numpy.save"),
        (b"RIFF..", "it is a wav file; listen"),
        (b"PK\x03\x04..", "it is a zip archive, as .npz and .pt are: save the mel itself with numpy.save"),
        (b"\x80\x04....", "it is a pickle: save the mel itself with numpy.save"),
        (b"hello.", ""),
    ],
)
def test_the_first_bytes_identify_other_file_types(start, expected):
    assert kind_of(start, "listen") == expected


def test_unreadable_files_are_rejected_with_a_reason(tmp_path):
    mel = np.zeros((80, 9), np.float32)
    np.savez(tmp_path / "zip.npz", mel=mel)
    np.save(tmp_path / "whole.npy", mel)
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:-4])
    (tmp_path / "version.npy").write_bytes(npy(mel, (3, 0)))
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(tmp_path / "none.npy", mel[:, :0])
    np.save(tmp_path / "batch.npy", mel[None])
    np.save(tmp_path / "integers.npy", mel.astype(np.int16))
    for name, message in [
        ("zip.npz", "a zip archive"),
        ("cut.npy", "values do not fit its shape"),
        ("version.npy", "version 1.0 or 2.0"),
        ("objects.npy", "floats, not .O"),
        ("none.npy", "at least one frame"),
        ("integers.npy", "a mel must hold floats, not <i2"),
        ("absent.npy", "there is no file"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            read_mel(tmp_path / name)
    assert {read_mel(tmp_path / name).shape for name in ("whole.npy", "batch.npy")} == {(80, 9)}
