"""Bodies to mels: what is sent comes out, and no lie gets through."""

from __future__ import annotations

import base64
import io
import json
import struct
import tracemalloc
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from server.problems import Problem
from server.request.decode import JSON, NPY, RAW, SAFETENSORS, decode_mel

MEL = np.linspace(-8.0, 1.0, 80 * 6, dtype=np.float32).reshape(80, 6)


def npy(array: Any, **keywords: Any) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), **keywords)
    return stream.getvalue()


def npy_header(text: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    header = text.encode("latin1").ljust(117) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(header)) + header + data


def refused(body: bytes, media_type: str | None = NPY, headers: dict[str, str] | None = None) -> Problem:
    with pytest.raises(Problem) as caught:
        decode_mel(body, media_type, headers or {})
    return caught.value


def raw_headers(shape: str, dtype: str) -> dict[str, str]:
    return {"x-mel-shape": shape, "x-mel-dtype": dtype}


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_npy(dtype: str, order: Any, version: tuple[int, int]) -> None:
    sent = np.asarray(MEL.astype(dtype), order=order)
    mel = decode_mel(npy(sent, version=version), NPY, {})
    assert mel.dtype == np.float32
    assert mel.flags.c_contiguous
    assert mel.flags.writeable
    np.testing.assert_array_equal(mel, sent.astype(np.float32))


def test_npy_is_what_a_body_without_a_type_is() -> None:
    np.testing.assert_array_equal(decode_mel(npy(MEL), None, {}), MEL)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_safetensors(dtype: Any) -> None:
    body = save({"mel": MEL.astype(dtype), "other": np.zeros(3, np.int64)})
    np.testing.assert_array_equal(decode_mel(body, SAFETENSORS, {}), MEL.astype(dtype).astype(np.float32))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_raw_floats(dtype: str) -> None:
    sent = MEL.astype(np.dtype(dtype).newbyteorder("<"))
    np.testing.assert_array_equal(decode_mel(sent.tobytes(), RAW, raw_headers("80, 6", dtype)), sent.astype(np.float32))


def test_json_lists() -> None:
    np.testing.assert_array_equal(decode_mel(json.dumps({"mel": MEL.tolist()}).encode(), JSON, {}), MEL)


def test_json_integers_are_numbers() -> None:
    np.testing.assert_array_equal(decode_mel(b'{"mel": [[-1, -2], [-3, 0.5]]}', JSON, {}), [[-1, -2], [-3, 0.5]])


def test_json_base64() -> None:
    document = {"mel_b64": base64.b64encode(MEL.tobytes()).decode(), "shape": [80, 6], "dtype": "float32"}
    np.testing.assert_array_equal(decode_mel(json.dumps(document).encode(), JSON, {}), MEL)


def test_a_float64_beyond_float32_is_infinite_without_a_warning() -> None:
    assert np.isinf(decode_mel(npy(np.full((2, 2), 1e300)), NPY, {})).all()


def test_a_header_that_claims_32_gigabytes_allocates_nothing() -> None:
    body = npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (80, 100000000), }")
    assert len(body) == 128
    tracemalloc.start()
    try:
        error = refused(body)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert error.kind == "malformed-body"


@pytest.mark.parametrize(
    "shape", ["(0, 80)", "(80, 0)", "(80, -6)", "()", "(80, 6, 1, 1)", "(80, 5)", "(80, 7)", f"(80, {10**300})"]
)
def test_npy_shapes_that_do_not_fit_the_bytes(shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    body = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + MEL.tobytes()
    assert refused(body).kind == "malformed-body"


@pytest.mark.parametrize("dtype", [">f4", "<i4", "<c8", "|S4", "|b1", "<M8[s]", "<U1"])
def test_npy_dtypes_that_are_not_taken(dtype: str) -> None:
    assert refused(npy(np.zeros((80, 2), dtype))).kind == "unsupported-dtype"


def test_npy_of_a_structured_dtype() -> None:
    assert refused(npy(np.zeros((80, 2), [("a", "<f4")]))).kind == "unsupported-dtype"


@pytest.mark.parametrize("descr", ["('<f4', (2,))", "7", "[('a', '<f4')]", "'<f4,<f4'", "'O'"])
def test_npy_dtypes_that_are_described_otherwise(descr: str) -> None:
    body = npy_header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': (80, 1)}}", bytes(640))
    assert refused(body).kind == "unsupported-dtype"


def test_npy_of_objects_is_never_unpickled() -> None:
    error = refused(npy(np.array([[print]], dtype=object)))
    assert error.kind == "unsupported-dtype"


@pytest.mark.parametrize("cut", [0, 3, 8, 60, 127, 128, -1])
def test_truncated_npy(cut: int) -> None:
    assert refused(npy(MEL)[:cut]).kind == "malformed-body"


def test_npy_with_bytes_left_over() -> None:
    assert refused(npy(MEL) + b"\0").kind == "malformed-body"


@pytest.mark.parametrize(
    "body",
    [
        b"hello",
        npy_header("[1, 2]"),
        npy_header("{'descr': '<f4'}"),
        npy_header("{'descr': '<f4', 'fortran_order': 3, 'shape': (80, 6)}"),
        npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': [80, 6]}"),
        npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (80, True)}"),
        npy_header("__import__('os')"),
        npy_header("(" * 100),
        npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (80, 6)}", MEL.tobytes(), b"\x09\x00"),
        b"\x93NUMPY\x01\x00" + struct.pack("<H", 2000) + b"{'descr': '<f4', 'fortran_order': False, ".ljust(2000),
    ],
)
def test_npy_headers_that_are_none(body: bytes) -> None:
    assert refused(body).kind == "malformed-body"


@pytest.mark.parametrize("text", [r"{'descr': '\d'}", "{'shape': (80, 1if 2else 3)}"])
def test_npy_headers_of_which_python_would_warn(text: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert refused(npy_header(text)).kind == "malformed-body"
    assert caught == []


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_do_worse_than_an_error(body: bytes, with_magic: bool) -> None:
    prefix = b"\x93NUMPY\x01\x00" if with_magic else b""
    for media_type in (NPY, SAFETENSORS, JSON):
        assert refused(prefix + body, media_type).kind in ("malformed-body", "unsupported-dtype")


@pytest.mark.parametrize(
    ("body", "slug"),
    [
        (save({"melody": MEL}), "malformed-body"),
        (save({"mel": MEL.astype(np.int32)}), "unsupported-dtype"),
        (save({"mel": MEL})[:-4], "malformed-body"),
        (save({"mel": MEL[:, :0]}), "malformed-body"),
        (struct.pack("<Q", 2**40) + b"{}", "malformed-body"),
    ],
)
def test_safetensors_that_are_refused(body: bytes, slug: str) -> None:
    assert refused(body, SAFETENSORS).kind == slug


@pytest.mark.parametrize("shape", ["80", "80,5", "80,-6", "80,six", "80,6,1,1", "0,6", "", "9" * 5000, "٨٠,6"])
def test_raw_shapes_that_are_refused(shape: str) -> None:
    assert refused(MEL.tobytes(), RAW, raw_headers(shape, "float32")).kind == "malformed-body"


def test_raw_floats_need_their_headers() -> None:
    error = refused(MEL.tobytes(), RAW)
    assert error.kind == "unsupported-media-type"
    assert "X-Mel-Shape" in error.detail


def test_raw_dtype_that_is_not_taken() -> None:
    assert refused(MEL.tobytes(), RAW, raw_headers("80,6", "int32")).kind == "unsupported-dtype"


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        b"null",
        b'{"mel": []}',
        b'{"mel": 3}',
        b'{"mel": null}',
        b'{"mel": {}}',
        b'{"mel": [["1.0"]]}',
        b'{"mel": [[null]]}',
        b'{"mel": [[true]]}',
        b'{"mel": [[1, 2], [3]]}',
        b'{"mel": [[1' + b"0" * 400 + b"]]}",
        b'{"mel": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"mel": [[-1]], "sigma": 1}',
        b'{"mel": [["\xff"]]}',
        b'{"mel_b64": "!", "shape": [1, 1], "dtype": "float32"}',
        b'{"mel_b64": 3, "shape": [1, 1], "dtype": "float32"}',
        b'{"mel_b64": "AAAAAA==", "shape": [1, 2], "dtype": "float32"}',
        b'{"mel_b64": "AAAAAA==", "shape": [true, 1], "dtype": "float32"}',
        b'{"mel_b64": "AAAAAA==", "shape": 1, "dtype": "float32"}',
        b'{"mel_b64": "AAAAAA==", "shape": [1' + b"0" * 4000 + b'], "dtype": "float32"}',
    ],
)
def test_json_that_is_refused(body: bytes) -> None:
    assert refused(body, JSON).kind == "malformed-body"


def test_json_dtype_that_is_not_taken() -> None:
    body = b'{"mel_b64": "AAAAAA==", "shape": [1, 1], "dtype": ["float32"]}'
    assert refused(body, JSON).kind == "unsupported-dtype"


@pytest.mark.parametrize("media_type", ["application/x-www-form-urlencoded", "text/plain", "application/zip", ""])
def test_other_media_types(media_type: str) -> None:
    error = refused(npy(MEL), media_type)
    assert error.kind == "unsupported-media-type"
    assert NPY in error.detail
