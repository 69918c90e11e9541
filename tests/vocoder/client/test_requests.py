import io
import json

import numpy as np
import pytest
import soundfile
import torch

from vocoder import client
from vocoder.client.answers import MelVerdict
from vocoder.client.errors import Problem, error_of, read_problem
from vocoder.client.requests import hello, mel_call, to_array, used
from vocoder.mel.config import preset


def test_samples_are_scaled_to_full_scale():
    def decoded(samples):
        return soundfile.read(io.BytesIO(mel_call(samples, 22050, None, None)["content"]), dtype="float32")[0]

    samples = np.array([-32768, -1, 0, 16384, 32767], np.int16)
    np.testing.assert_array_equal(decoded(samples), samples.astype(np.float32) / 32768)
    np.testing.assert_array_equal(decoded(np.array([0.5, -0.25])), [0.5, -0.25])
    for dtype in (np.int32, np.uint8, np.complex64, bool):
        with pytest.raises(TypeError, match=f"floats in -1..1, or int16, not {np.dtype(dtype).name}"):
            mel_call(np.ones(5, dtype), 22050, None, None)


def test_mels_of_any_float_precision_are_accepted():
    for dtype in (torch.bfloat16, torch.float16, torch.float64):
        mel = to_array(torch.full((80, 2), -3.0).to(dtype))
        assert mel.dtype == np.float32
        assert (mel == -3.0).all()
    imaginary = torch.ones(80, 2) * 1j
    for mel in ([["1", "2"]], imaginary, imaginary.numpy(), np.ones((80, 2), bool), torch.ones(80).int()):
        with pytest.raises(TypeError, match="a mel must hold floating-point numbers, not "):
            to_array(mel)
    with pytest.raises(ValueError, match="masked array"):
        to_array(np.ma.masked_less(np.zeros((80, 2)), 1.0))


def test_options_of_the_wrong_type_are_rejected():
    for name, value, kind in (
        ("sharpen", "0.5", "a number, not '0.5'"),
        ("sigma", True, "a number, not True"),
        ("seed", 7.0, "a whole number, not 7.0"),
        ("corrections", "6", "a whole number, not '6'"),
        ("guard", False, "text, not False"),
        ("preset", preset("vocos"), "text, not MelConfig"),
        ("mean", "0.5", "a number, or one for each band, not '0.5'"),
    ):
        with pytest.raises(TypeError, match=f"{name} must be {kind}"):
            used({name: value})
    options = {"seed": np.int64(7), "sigma": np.float32(0.5), "denoise": 1, "model": "m", "mean": np.float32(2)}
    expected = {"seed": 7, "sigma": 0.5, "denoise": 1.0, "model": "m", "mean": "2", "format": "pcm_f32"}
    assert json.loads(hello(options)) == expected
    assert client.AsyncClient("HTTP://http.example/")._streams == "ws://http.example/v1/stream"


def test_a_verdict_is_the_same_from_headers_and_from_a_stream():
    typical = {"typical": True, "cause": "typical", "typicality": 5.0, "message": "The mel follows its mel config."}
    assert MelVerdict.of(typical) == MelVerdict.of_headers({"X-Mel-Guard": "typical", "X-Mel-Guard-Typicality": "5.0"})
    doubt = {"typical": False, "cause": "log10", "typicality": 0.0, "message": "Multiply."}
    headers = {"X-Mel-Guard": "log10", "X-Mel-Guard-Typicality": "0", "X-Mel-Guard-Message": "Multiply."}
    assert MelVerdict.of(doubt) == MelVerdict.of_headers(headers)


def test_problems_are_parsed_and_determine_the_error_class_and_the_retry_wait():
    fields = {"type": "urn:vocoder:problem:queue-full", "title": "Queue full", "detail": "Later.", "request_id": "r1"}
    problem = read_problem(503, json.dumps({**fields, "limit_frames": 9}).encode(), "7")
    assert problem == Problem(503, "queue-full", "Later.", "r1", 7.0, {"limit_frames": 9})
    kinds = {"InvalidRequest": (400, 413, 422), "Authentication": (401, 403), "UnknownModel": (404,)}
    kinds |= {"RateLimited": (429,), "Server": (500, 507), "Unavailable": (503, 504)}
    for kind, status in ((kind, status) for kind, its in kinds.items() for status in its):
        error = error_of(Problem(status, "a-name", "Words."))
        assert type(error) is getattr(client, f"{kind}Error")
        assert str(error) == f"{status} a-name: Words."
    retries = client.Retries(most=2, longest=30.0)
    for status in (503, 429):
        waits = [retries.wait(http_error(status, 4.0), done) for done in (0, 1, 2)]
        assert all(4.0 <= wait <= 5.0 for wait in waits[:2])
        assert waits[2] is None
    for error in (http_error(503, None), http_error(503, 31.0), http_error(422, 1.0), client.NoAnswerError("gone")):
        assert retries.wait(error, 0) is None


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"3", b"{}", b"\xff"])
def test_a_response_that_is_not_a_problem_still_has_a_status(body):
    unknown = Problem(502, "unknown", "The server answered with status 502.")
    assert read_problem(502, body, "Wed, 21 Oct 2015 07:28:00 GMT") == unknown


def http_error(status, retry_after):
    return error_of(Problem(status, "a-name", "Words.", retry_after=retry_after))
