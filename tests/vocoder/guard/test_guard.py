"""The shipped guard on a held-out recording."""

import dataclasses
import math
import re
from types import SimpleNamespace

import librosa
import numpy as np
import pytest
import torch
from recordings import RECORDING, mel_of

import vocoder
from vocoder.adapt.path import MelPath, path_between
from vocoder.admission import StreamAdmission
from vocoder.audio.reading import read_audio
from vocoder.directories import ASSETS
from vocoder.guard.automatic import UnsureError, recognised_config
from vocoder.guard.guard import TOO_SHORT, Guard, guards, judge, load_guard
from vocoder.mel.config import preset
from vocoder.mel.convert import convert
from vocoder.mel.values import MelError

FRAMING = {"n_fft": 1024, "hop_length": 256}


@pytest.fixture(scope="module")
def guard():
    return next(guards())


@pytest.fixture(scope="module")
def mel():
    return mel_of("nvidia")


def test_true_mels_are_typical_and_convertible_mels_are_judged_by_their_mel_config(guard, mel):
    for true in (mel, mel[:, 100:200], *((mel + math.log(gain)).clamp(min=math.log(1e-5)) for gain in (0.1, 2.0))):
        verdict = guard.check(true)
        assert (verdict.typical, verdict.cause, verdict.preset) == (True, "typical", None)
        assert 0.0 < verdict.typicality <= 100.0
    loaded = vocoder.load("waveglow").check(mel)  # adds how far the mel will be sharpened
    assert vocoder.check(mel.numpy()) == dataclasses.replace(loaded, smoothness=None) == guard.check(mel)
    assert ("smoothness" in loaded.as_dict(), "smoothness" in guard.check(mel).as_dict()) == (True, False)
    log10 = dataclasses.replace(preset("nvidia"), name="decimal", log="log10")
    mel = convert(mel, preset("nvidia"), log10)
    assert guard.check(mel, log10).typical
    assert ((verdict := guard.check(mel)).typical, verdict.typicality, verdict.cause) == (False, 0.0, "log10")
    assert verdict.message == "The mel looks like decimal logarithms: multiply by ln(10) = 2.302585."
    assert guard.check(0.2 * mel).message.endswith(": look for an offset, a factor or a wrong dtype.")
    normalised = mel_of("espnet") - mel_of("espnet").mean(1, keepdim=True)
    assert guard.check(normalised).message.endswith("add the mean, then pass preset=espnet.")
    steps = "multiply by ln(10) = 2.302585, then pass preset=bigvgan."
    for claimed, end in (("vocos", steps), ("bigvgan", "2.302585.")):
        verdict = judge(mel_of("bigvgan") / math.log(10.0), path_between(preset(claimed), preset("nvidia")))
        assert verdict.message.endswith(end)


@pytest.mark.parametrize("settings", [{}, FRAMING, FRAMING | {"fmax": 8000}])
@pytest.mark.parametrize("ref", [1.0, np.max])
def test_advice_for_decibels_of_librosa_names_the_right_settings(guard, mel, settings, ref):
    x, _ = read_audio(RECORDING, 22050)
    given = librosa.feature.melspectrogram(y=x, sr=22050, n_mels=80, **settings)
    verdict = guard.check(librosa.power_to_db(given, ref=ref))
    assert (verdict.typical, verdict.cause) == (False, "decibels")
    named = "If it is librosa.power_to_db with n_fft=1024, hop_length=256 and fmax=8000, pass preset=librosa-db."
    assert all(word not in verdict.message for word in ("Hz", "squared"))
    assert (named in verdict.message, "ref=1.0" in verdict.message) == (True, ref != 1.0)
    right = re.search(r"with (sr=.*), then np\.log\(np\.maximum\(mel, (.*)\)\)\.$", verdict.message)
    if ref != 1.0:
        with pytest.raises(UnsureError, match=r"cannot read .* looks like decibels .* compute it with sr="):
            recognised_config(librosa.power_to_db(given, ref=ref), preset("nvidia"))
    computed = librosa.feature.melspectrogram(y=x, **eval(f"dict({right[1]})"), pad_mode="reflect")
    np.testing.assert_allclose(np.log(np.maximum(computed, float(right[2]))), mel.numpy(), atol=2e-3)


@pytest.mark.parametrize("top_db", [80.0, None])
def test_decibels_of_power_pass_with_their_preset_and_are_recognised_without_it(mel, top_db):
    x, nvidia = read_audio(RECORDING, 22050)[0], preset("nvidia")
    given = librosa.feature.melspectrogram(y=x, sr=22050, n_fft=1024, hop_length=256, n_mels=80, fmax=8000)
    db, path = librosa.power_to_db(given, top_db=top_db), path_between(preset("librosa-db"), nvidia)
    assert [judge(one, path).cause for one in (db, db - 20.0, db - db.max())] == ["typical"] * 2 + ["decibels"]
    assert recognised_config(db, nvidia) == preset("librosa-db")
    assert (path.convert(torch.from_numpy(db)) - mel)[:, 2:-2].abs().mean() < 0.4
    with pytest.raises(MelError, match=r"The mel looks like decibels\. If it is .* pass preset=librosa-db\."):
        StreamAdmission(path_between(nvidia, nvidia), "warn").take(db[:, :1])


def test_wrong_shapes_silence_noise_and_impossible_values_are_identified(guard, mel):
    for shape, cause, named in (((120, 80), "transposed", ""), ((100, 50), "bands", "vocos"), ((64, 50), "bands", "")):
        verdict = guard.check(np.full(shape, -5.0))
        assert (verdict.typical, verdict.cause, verdict.preset) == (False, cause, None)
        assert named in verdict.message
    generator = torch.Generator().manual_seed(0)
    assert [guard.check(torch.full((80, 50), each)).cause for each in (math.log(1e-5), 0.0)] == ["silence"] * 2
    assert guard.check(-5.0 + torch.randn(80, 50, generator=generator)).cause == "not-speech"
    assert guard.check(-5.0 + torch.randn(80, 3, generator=generator)) == TOO_SHORT
    far = [guard.check(each) for each in (mel + 100.0, mel - 100.0, mel * 100.0)]
    assert [verdict.cause for verdict in far] == ["range"] * 3
    assert all(verdict.message.endswith("look for an offset, a factor or a wrong dtype.") for verdict in far)
    pads = [(9, 0.0), (99, 0.0), (9, -5.5), (9, -11.5)]
    padded = [guard.check(torch.nn.functional.pad(mel[:, :100], (0, n), value=value)).cause for n, value in pads]
    assert padded == ["padding", "padding", "padding", "typical"]
    assert guard.check(mel + 4.0).message.startswith("The mel is 20 dB above full scale, so its audio clips.")
    assert [guard.check(each).cause for each in (-mel, mel + math.log(32768.0))] == ["negated", "integers"]
    wary = Guard(ASSETS / "guard")  # a sure recogniser outvotes a density that finds everything unlikely
    wary.model.lowest.fill_(math.inf)
    assert [wary.check(each).cause for each in (mel, mel.roll(40, 0))] == ["typical", "not-speech"]


def test_adapted_mels_of_an_unknown_config_are_judged_by_the_guard_of_their_model():
    source = dataclasses.replace(preset("nvidia"), name="odd", n_mels=40)
    for name in ("nvidia", "vocos"):
        adapted = mel_of(name)
        ends = {"source": source, "target": preset(name), "adapter": object(), "adapted": "odd"}
        path = SimpleNamespace(**ends, convert=lambda mel, adapted=adapted: adapted)
        verdict = judge(mel_of(source), path)
        found = verdict.typical, verdict.typicality, verdict.adapted, verdict.cause
        assert found == (True, None, "odd", "unfamiliar")


def test_mels_of_an_unknown_config_are_only_checked_for_gross_faults():
    mel, odd = mel_of("nvidia"), dataclasses.replace(preset("nvidia"), name="odd", f_min=300.0)
    ends = {"source": odd, "target": preset("nvidia")}
    path = SimpleNamespace(**ends, adapter=object(), adapted="odd", convert=lambda mel: mel)
    for given in (mel, mel / math.log(10.0)):
        verdict = judge(given, path)
        assert (verdict.typical, verdict.typicality, verdict.cause) == (True, None, "unfamiliar")
        assert verdict.message.startswith("The guard does not know odd mels: ")
    noise = mel.mean() + mel.std() * torch.randn(mel.shape, generator=torch.Generator().manual_seed(0))
    causes = [judge(given, path).cause for given in (noise, mel * 0.0, (mel - mel.mean()) / mel.std())]
    assert causes == ["not-speech", "silence", "statistics"]


@pytest.mark.parametrize("name", ["nvidia", "vocos", "f5-tts"])
def test_following_the_advice_for_decibels_of_magnitudes_gives_a_typical_mel(name):
    mel, path = mel_of(name), MelPath(preset(name), preset(name))
    factor = re.search(r"multiply by ln\(10\) / 20 = (0\.\d+)", judge(mel * 20.0 / math.log(10.0), path).message)
    assert judge(mel * 20.0 / math.log(10.0) * float(factor[1]), path).cause == "typical"


def test_the_guard_is_small_and_not_listed_as_a_vocoder():
    assert (ASSETS / "guard" / "model.safetensors").stat().st_size < 2_000_000
    assert "guard" not in vocoder.shipped_models()
    with pytest.raises(ValueError, match="there is no model 'guard'"):
        vocoder.load("guard")
    with pytest.raises(ValueError, match="not a guard"):
        load_guard(ASSETS / "waveglow")
