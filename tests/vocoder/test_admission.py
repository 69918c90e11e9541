import math
import pickle
import re
import warnings

import numpy as np
import pytest
import torch
from recordings import mel_of
from tiny_models import random_synthesizer

from vocoder.adapt.path import path_between
from vocoder.admission import Admitted, MelTooLongError, StreamAdmission, UnlikelyMelError, admit, as_admitted, check
from vocoder.mel.config import preset
from vocoder.mel.values import MelError
from vocoder.sampling import Utterance
from vocoder.synthesis.synthesizer import MelWarning

NVIDIA = preset("nvidia")
ADVICE = "decimal logarithms"
QUIET = torch.linspace(-11.0, 0.0, 80)[:, None].repeat(1, 6)


def true_mel(config=NVIDIA):
    return mel_of(config)[:, :200]


def decimal_mel():
    return true_mel() / math.log(10)


@pytest.mark.parametrize(
    ("mel", "words"),
    [
        (QUIET.exp(), "go from 1.67e-05 to 1, but with this mel config digital silence is -11.51"),
        (QUIET * 20 / np.log(10.0), r"go from -95.54 to 0, .* about \S+\.$"),
        (QUIET - 9.0, r"If only the floor is lower, raise smaller values to -11\.51\.$"),
        (QUIET + 8.0, "go from -3 to 8, but .* full scale about"),
        (torch.zeros(80, 2), r"go from 0 to 0, .* No value is negative, so this is another scale\."),
        (QUIET.T, r"not \(6, 80\); it looks transposed, \(frames, n_mels\) instead of \(n_mels, frames\)$"),
        (torch.zeros(100, 6), r"not \(100, 6\); presets with 100 bands are vocos, f5-tts, "),
        (QUIET.repeat(1, 5).flatten().index_fill(0, torch.tensor(5), 1e5).view(80, 30), "Only 1 of 2400 values are"),
        (torch.zeros(80, 0), r"at least one frame, not \(80, 0\)$"),
        (QUIET * float("nan"), r"480 of the 480 values are not finite .*, the first of them mel\[0, 0\]$"),
        (torch.zeros(80, 6).log(), r"mel\[0, 0\]; the logarithm of 0 is infinite, so take that of max\(x, 1e-5\)$"),
        (torch.zeros(6, 1), r"not \(6, 1\); if these are the values of a band, iterate over frames instead"),
        (torch.zeros(5), r"must be \(80, frames\) or \(B, 80, frames\)"),
    ],
)
def test_impossible_mels_are_rejected(mel, words):
    for given in (mel, mel.numpy()):
        with pytest.raises(MelError, match=words):
            admit(given, NVIDIA)


def test_values_below_digital_silence_count_as_silence():
    mel = true_mel() - 3.0
    mel[:, 100:] -= 3.0  # acoustic models predict such values where there is no sound
    for guard in ("off", "warn"):
        stream, expected = StreamAdmission(path_between(NVIDIA, NVIDIA), guard), mel.clamp(min=math.log(1e-5))
        assert float(mel.min()) < -17.0
        torch.testing.assert_close(admit(mel, NVIDIA, guard=guard).mel[0], expected)
        torch.testing.assert_close(torch.cat([stream.take(piece) for piece in mel.split(30, dim=1)], 1), expected)


def test_errors_for_impossible_values_include_the_guards_advice():
    decibels = true_mel() * 20.0 / math.log(10.0)
    for mode, recognised in (("warn", True), ("off", False)):
        with pytest.raises(MelError, match="but with this mel config") as error:
            admit(decibels, NVIDIA, guard=mode)
        assert str(error.value).startswith("The mel looks like decibels: multiply by") == recognised
        assert ("guard" in error.value.details) == recognised
        assert error.value.details["found"]["max"] == pytest.approx(float(decibels.max()))
    normalised = torch.nn.functional.instance_norm(true_mel(preset("espnet"))[None])[0]
    stream = StreamAdmission(path_between(preset("espnet"), NVIDIA), "warn")
    for take in (lambda mel: admit(mel, NVIDIA, "espnet", guard="warn"), stream.take):
        with pytest.raises(MelError, match=r"like values normalised by mean .* After conversion from 'espnet' the"):
            take(normalised)
    with pytest.raises(MelError, match=r"^After conversion from 'espnet' .*: check the preset"):
        admit(normalised, NVIDIA, "espnet")
    with pytest.raises(MelError, match=r"The values fit the preset bigvgan.*: pass preset=bigvgan"):
        admit(true_mel(preset("bigvgan")), NVIDIA, "gpt-sovits-v3")
    with pytest.raises(MelError, match=r"^The values go from 88.* look for an offset, a factor or a wrong dtype\.$"):
        admit(true_mel() + 100.0, NVIDIA, guard="warn")
    assert check(true_mel(preset("cosyvoice2")) + 100.0, path_between(preset("cosyvoice2"), NVIDIA)).cause == "range"


def test_an_admitted_mel_is_converted_judged_and_returned_as_its_own_type():
    vocos, mel = preset("vocos"), true_mel(preset("vocos")).numpy()
    admitted = admit(mel, NVIDIA, "vocos", guard="warn")
    assert admitted.mel.shape == (1, 80, admitted.path.frames(200))
    assert (admitted.frames, admitted.path.adapted, admitted.doubts) == (200, "vocos", ())
    assert [verdict.adapted for verdict in admitted.verdicts] == ["vocos"]
    x = admitted.returned(torch.zeros(1, admitted.mel.shape[2] * 256))
    assert (type(x), x.shape) == (np.ndarray, (admitted.path.samples(200),))
    assert admit(torch.stack([true_mel()] * 2), NVIDIA).returned(torch.zeros(2, 512)).shape == (2, 512)
    assert admit(mel, NVIDIA, "auto").path.source == vocos


def test_mels_that_are_too_long_are_rejected_and_other_bands_are_recognised():
    slow, vocos = preset("speecht5"), preset("vocos")
    most = path_between(slow, NVIDIA).longest(100)
    assert most < admit(true_mel(slow)[:, :most], NVIDIA, slow, max_frames=100).mel.shape[2] <= 100
    with pytest.raises(MelTooLongError, match=f"limit of {most} frames") as error:
        admit(true_mel(slow)[:, : most + 1], NVIDIA, slow, max_frames=100)
    assert pickle.loads(pickle.dumps(error.value)).limit == most
    (true,), (other,) = (admit(true_mel(c), NVIDIA, vocos, guard="warn").verdicts for c in (vocos, preset("bigvgan")))
    assert (true.typical, true.adapted, other.typical, other.cause) == (True, "vocos", False, "bands")
    assert "looks like the bands of the bigvgan preset: pass preset=bigvgan." in other.message


RECOGNISED_AS = {
    "zipvoice": "the zipvoice preset: pass preset=zipvoice.",
    "gpt-sovits-v3": "the gpt-sovits-v3 preset: pass preset=gpt-sovits-v3.",
    "fireredtts": "the bands of the fireredtts preset: use the shipped model 'reverse' for fireredtts.",
}


@pytest.mark.parametrize("name", RECOGNISED_AS)
def test_the_guard_suggests_presets_that_the_model_accepts(name):
    vocos = preset("vocos")
    verdict = check(mel_of(name), path_between(vocos, vocos))
    assert not verdict.typical
    assert re.fullmatch(f"The mel looks like {RECOGNISED_AS[name]}", verdict.message)
    assert check(mel_of(name), path_between(preset(name), NVIDIA)).cause in ("typical", "unfamiliar")
    if name in ("zipvoice", "gpt-sovits-v3"):
        assert check(mel_of(name), path_between(preset(verdict.preset), vocos)).typical


def test_a_stream_is_checked_incrementally_and_its_start_is_judged_once():
    loud = torch.full((80, 20), 0.5)
    admission = StreamAdmission(path_between(NVIDIA, NVIDIA), max_frames=100)
    for _ in range(3):
        assert admission.take(loud).shape == (80, 20)
    with pytest.raises(MelError, match=r"go from 0\.5 to 0\.5"):
        admission.take(loud)
    with pytest.raises(MelError, match=r"to 8\.5, but"):
        StreamAdmission(path_between(NVIDIA, NVIDIA)).take(loud + 8.0)
    with pytest.raises(MelError, match="one mel"):
        admission.take(loud[None])
    with pytest.raises(MelTooLongError, match="100 frames"):
        admission.take(QUIET.repeat(1, 7))
    assert admission.frames == 60  # without those refused
    admission = StreamAdmission(path_between(NVIDIA, NVIDIA), "warn")
    admission.take(QUIET.repeat(1, 8))
    with pytest.raises(MelError, match=r"the first of them mel\[0, 50\]"):
        admission.take(torch.cat([QUIET[:, :2], QUIET * float("nan")], dim=1))
    decibels = true_mel()[:, :32] * 20.0 / math.log(10.0)
    assert decibels.max() < -50.0
    with pytest.raises(MelError, match=r"The mel looks like decibels: multiply by ln\(10\) / 20"):
        StreamAdmission(path_between(NVIDIA, NVIDIA), "warn").take(decibels)
    admission = StreamAdmission(path_between(NVIDIA, NVIDIA), "strict")
    admission.take(decimal_mel()[:, :100])
    assert admission.judge() is None
    admission.take(decimal_mel()[:, 100:])
    with pytest.raises(UnlikelyMelError, match=ADVICE):
        admission.judge()
    assert admission.judge(last=True) is None


@pytest.mark.parametrize("mode", ["warn", "strict", "off"])
@pytest.mark.parametrize("set_when", ["at loading", "in the call"])
def test_guard_modes_warn_reject_or_do_nothing(mode, set_when):
    guard = {} if set_when == "at loading" else {"guard": mode}
    calls = (
        lambda v: v.synthesize(decimal_mel()[:, :64], seed=1, **guard),
        lambda v: next(v.stream(decimal_mel()[:, :64], seed=1, **guard)),
        lambda v: list(v.stream(iter(decimal_mel()[:, :140].T), seed=1, **guard)),
    )
    for call in calls:
        v = random_synthesizer(mode if set_when == "at loading" else "off")
        if mode == "warn":
            with pytest.warns(MelWarning, match=ADVICE):
                call(v)
        elif mode == "strict":
            with pytest.raises(UnlikelyMelError, match=ADVICE):
                call(v)
        else:
            assert len(call(v)) > 0


def test_every_mel_is_checked_and_every_fault_gives_a_warning():
    v, reported = random_synthesizer("warn"), []
    mels = (true_mel(), decimal_mel(), true_mel(), true_mel().flip(0), decimal_mel(), true_mel().flip(0))
    for mel in mels:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            v.synthesize(mel[:, :40], seed=1)
        reported.append([str(warning.message) for warning in caught if warning.category is MelWarning])
    assert [len(messages) for messages in reported] == [0, 1, 0, 1, 1, 1]
    assert all(text in reported[i][0] for i, text in ((1, ADVICE), (3, "reverse order")))
    with pytest.raises(UnlikelyMelError) as error:
        v.synthesize(decimal_mel(), guard="strict")
    assert pickle.loads(pickle.dumps(error.value)).verdict == error.value.verdict


def test_admitted_mels_are_synthesized_without_converting_again():
    v, mel = random_synthesizer("off"), true_mel(preset("r9y9"))[:, :60].numpy()
    admitted = v.admit(mel, "r9y9")
    assert isinstance(admitted, Admitted)
    expected = v.synthesize(mel, seed=1, preset="r9y9")
    np.testing.assert_array_equal(v.synthesize_many([Utterance(admitted, seed=1)])[0], expected)
    np.testing.assert_allclose(np.concatenate(list(v.stream(admitted, seed=1))), expected, atol=1e-5)
    loud = as_admitted(admitted.mel[0].numpy() + 20.0, v.mel_config)  # as adapters and sharpening may make it
    x = v.synthesize(loud, seed=1)
    np.testing.assert_array_equal(np.concatenate(list(v.stream(loud, seed=1))), x)
    assert np.isfinite(x).all()
    pieces = map(torch.zeros(80, 4).copy_, torch.from_numpy(mel).split(4, dim=1))  # all in one buffer
    np.testing.assert_allclose(torch.cat(list(v.stream(pieces, seed=1, preset="auto"))), expected, atol=1e-5)
