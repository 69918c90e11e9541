"""What a client sends: numbers as they were meant, and nothing that only looks like them."""

import io

import numpy as np
import pytest
import soundfile
import torch

from vocoder.client.answers import MelVerdict
from vocoder.client.requests import mel_call, to_array


def test_samples_are_sent_at_full_scale():
    def sent(samples):
        return soundfile.read(io.BytesIO(mel_call(samples, 22050, None, None)["content"]), dtype="float32")[0]

    samples = np.array([-32768, -1, 0, 16384, 32767], np.int16)
    np.testing.assert_array_equal(sent(samples), samples.astype(np.float32) / 32768)
    np.testing.assert_array_equal(sent(np.array([0.5, -0.25])), [0.5, -0.25])
    for dtype in (np.int32, np.uint8, np.complex64, bool):
        with pytest.raises(TypeError, match=f"floats in -1..1, or int16, not {np.dtype(dtype).name}"):
            mel_call(np.ones(5, dtype), 22050, None, None)


def test_mels_hold_real_numbers_of_every_precision():
    for dtype in (torch.bfloat16, torch.float16, torch.float64, torch.int32):
        mel = to_array(torch.full((80, 2), -3.0).to(dtype))
        assert mel.dtype == np.float32
        assert (mel == -3.0).all()
    complex_values = torch.ones(80, 2, dtype=torch.complex64)
    for mel in (complex_values, complex_values.numpy(), [["1", "2"]], np.ones((80, 2), bool)):
        with pytest.raises(TypeError, match="a mel holds real numbers, not "):
            to_array(mel)


def test_a_verdict_is_the_same_by_headers_and_in_a_stream():
    typical = {"typical": True, "cause": "typical", "typicality": 5.0, "message": "The mel follows its mel config."}
    assert MelVerdict.of(typical) == MelVerdict.of_headers({"X-Mel-Guard": "typical", "X-Mel-Guard-Typicality": "5.0"})
    doubt = {"typical": False, "cause": "log10", "typicality": 0.0, "message": "Multiply."}
    headers = {"X-Mel-Guard": "log10", "X-Mel-Guard-Typicality": "0", "X-Mel-Guard-Message": "Multiply."}
    assert MelVerdict.of(doubt) == MelVerdict.of_headers(headers)
