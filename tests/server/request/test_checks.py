"""The check of a mel against its config, as a problem: what `vocoder.admission` raises, said to a client."""

import dataclasses
import json

import numpy as np
import pytest

from server.problems import Problem
from server.request.admit import admit
from server.request.asked import Asked
from server.routes.models import described_mel
from vocoder.mel.config import PRESETS, MelConfig
from vocoder.mel.range import mel_range

NVIDIA = PRESETS["nvidia"]
VALUES = mel_range(NVIDIA)
MEL = np.full((80, 12), -5.0, np.float32)


def admitted(mel, config=NVIDIA, max_frames=1000):
    return admit(mel, Asked(), config, PRESETS, "off", max_frames).mel


def test_a_batch_of_one_is_one_mel():
    np.testing.assert_array_equal(admitted(MEL[None]), MEL)


@pytest.mark.parametrize(
    ("mel", "most", "kind", "words"),
    [
        (MEL[:79], 12, "invalid-mel", "The mel must be (80, frames), at least one frame, not (79, 12)."),
        (MEL[0], 12, "invalid-mel", "Send one mel per request, of shape (80, frames), not an array of shape (12,)."),
        (np.stack([MEL, MEL]), 12, "invalid-mel", "Send one mel per request"),
        (MEL * np.nan, 12, "invalid-mel", "960 of the 960 values are not finite"),
        (MEL * 20.0, 12, "invalid-mel", "digital silence is -11.51"),
        (MEL, 11, "too-many-frames", "11 frames"),
    ],
)
def test_a_mistake_is_said_in_a_sentence(mel, most, kind, words):
    with pytest.raises(Problem) as caught:
        admitted(mel, max_frames=most)
    assert (caught.value.kind, words in caught.value.detail, caught.value.detail[-1]) == (kind, True, ".")


def test_description_is_json_and_rebuilds_the_contract():
    description = json.loads(json.dumps(described_mel(NVIDIA)))
    fields = {field.name: description[field.name] for field in dataclasses.fields(MelConfig)}
    assert MelConfig(**fields) == NVIDIA
    assert (description["layout"], description["silence"]) == ("(n_mels, frames)", VALUES.silence)
    assert description["plausible_range"] == list(VALUES.plausible)
    assert VALUES.silence == pytest.approx(np.log(1e-5), abs=1e-4)
    assert VALUES.plausible[0] < VALUES.silence < 0.0 < VALUES.plausible[1]
