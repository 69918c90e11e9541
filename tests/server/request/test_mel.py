import json
import struct
import tracemalloc

import numpy as np
import pytest
from http_helpers import npy
from safetensors.numpy import save

from server.problems import Problem
from server.request.mel import JSON, NPY, RAW, SAFETENSORS, decode_mel

MEL = np.linspace(-8.0, 1.0, 80 * 6, dtype=np.float32).reshape(80, 6)


def npy_of(shape, data=None):
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + (MEL.tobytes() if data is None else data)


def rejection(body, media_type=NPY, headers=None):
    with pytest.raises(Problem) as caught:
        decode_mel(body, media_type, headers or {})
    return caught.value


def raw_headers(shape, dtype):
    return {"x-mel-shape": shape, "x-mel-dtype": dtype}


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_every_dtype_and_encoding_is_decoded(name):
    values = MEL.astype(np.dtype(name).newbyteorder("<"))
    bodies = [(npy(values), None, {}), (values.tobytes(), RAW, raw_headers("80, 6", name))]
    arrays = [np.asarray(values, order=order) for order in ("C", "F")]
    bodies += [(npy(array, version), NPY, {}) for array in arrays for version in ((1, 0), (2, 0))]
    bodies.append((save({"mel": values, "other": np.zeros(3, np.int64)}), SAFETENSORS, {}))
    for body, media_type, headers in bodies:
        mel = decode_mel(body, media_type, headers)
        assert (mel.dtype, mel.flags.c_contiguous, mel.flags.writeable) == (np.float32, True, True)
        np.testing.assert_array_equal(mel, values.astype(np.float32))


def test_json_and_values_beyond_float32_are_decoded():
    for mel in (MEL, [[-1, -2], [-3, 0.5]]):
        body = json.dumps({"mel": np.asarray(mel).tolist()}).encode()
        np.testing.assert_array_equal(decode_mel(body, JSON, {}), mel)
    assert np.isinf(decode_mel(npy(np.full((2, 2), 1e300)), NPY, {})).all()


def test_a_header_that_claims_32_gigabytes_allocates_nothing():
    tracemalloc.start()
    try:
        error = rejection(npy_of("(80, 100000000)", data=b""))
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()
    assert error.kind == "malformed-body"


SHAPES = ("(0, 80)", "()", "(80, 6, 1, 1)", "(80, 5)", "(80, 7)")
INVALID_MELS = [b"[]", b"3", b"null", b"{}", b'[["1.0"]]', b"[[null]]", b"[[true]]", b"[[1, 2], [3]]", b'[["\xff"]]']
INVALID_MELS += [b"[[1" + b"0" * 400 + b"]]", b"[" * 5000 + b"]" * 5000, b'[[-1]], "sigma": 1']
DOCUMENTS = [b"{", b"[]", b"{}", b"null", *(b'{"mel": %s}' % mel for mel in INVALID_MELS)]


@pytest.mark.parametrize(
    ("media_type", "body", "kind"),
    [
        *((NPY, npy_of(shape), "malformed-body") for shape in SHAPES),
        *((NPY, npy(np.zeros((80, 2), dtype)), "unsupported-dtype") for dtype in (">f4", "<i4", [("a", "<f4")])),
        (NPY, npy(np.array([[print]], dtype=object)), "unsupported-dtype"),  # never unpickled
        *((NPY, body, "malformed-body") for body in (npy(MEL)[:60], npy(MEL)[:-1], npy(MEL) + b"\0", b"hello")),
        (SAFETENSORS, save({"melody": MEL}), "malformed-body"),
        (SAFETENSORS, save({"mel": MEL.astype(np.int32)}), "unsupported-dtype"),
        (SAFETENSORS, save({"mel": MEL})[:-4], "malformed-body"),
        (SAFETENSORS, save({"mel": MEL[:, :0]}), "malformed-body"),
        (SAFETENSORS, struct.pack("<Q", 2**40) + b"{}", "malformed-body"),
        *((JSON, body, "malformed-body") for body in DOCUMENTS),
    ],
)
def test_invalid_bodies_are_rejected(media_type, body, kind):
    assert rejection(body, media_type).kind == kind


def test_invalid_raw_floats_and_media_types_are_rejected():
    for shape in ("80", "80,5", "80,-6", "80,six", "80,6,1,1", "0,6", "", "9" * 5000, "٨٠,6"):
        assert rejection(MEL.tobytes(), RAW, raw_headers(shape, "float32")).kind == "malformed-body", shape
    endings = {"int32": ", not int32.", ">f4": ", not >f4.", "a b": "little-endian.", "": "little-endian."}
    for dtype, found in endings.items():
        error = rejection(MEL.tobytes(), RAW, raw_headers("80,6", dtype))
        assert (error.kind, error.detail.endswith(found)) == ("unsupported-dtype", True)
    error = rejection(MEL.tobytes(), RAW)
    assert (error.kind, "X-Mel-Shape" in error.detail) == ("unsupported-media-type", True)
    for media_type in ("application/x-www-form-urlencoded", "text/plain", "application/zip", ""):
        error = rejection(npy(MEL), media_type)
        assert (error.kind, NPY in error.detail) == ("unsupported-media-type", True)


def test_json_errors_name_the_reason():
    error = rejection(b'{"mel": [[-1, -2]], "mel" : [[-1]]}', JSON)
    assert (error.kind, error.detail) == ("malformed-body", "mel: give it once, not several times.")
    for body, reason in (
        (b'{"mel": ' + b"[" * 900 + b"]" * 900 + b"}", "it is nested too deeply at line 1 column"),
        (b'{"mel": [[1,]]}', "trailing comma at line 1 column 13."),
    ):
        assert f"The body cannot be read as JSON: {reason}" in rejection(body, JSON).detail
