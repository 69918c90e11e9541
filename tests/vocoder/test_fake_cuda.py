"""Models and streams on a fake GPU."""

import pytest
import torch
from fake_gpu import CUDA, use_fake_gpu
from tiny_models import TINY_MEL, grouping_config, lapped_config, reverse_config, student_config
from torch._subclasses.fake_tensor import FakeTensorMode

from vocoder import admission
from vocoder.checkpoint import Checkpoint
from vocoder.mel.values import mel_range
from vocoder.models.families import family_of
from vocoder.models.reverse import Reverse
from vocoder.models.student import Student
from vocoder.models.waveglow import WaveGlow
from vocoder.sampling import Utterance
from vocoder.synthesis.synthesizer import Synthesizer

FRAMES = 12
MODELS = {
    "lapped": lambda: WaveGlow(lapped_config()),
    "grouping": lambda: WaveGlow(grouping_config()),
    "reverse": lambda: Reverse(reverse_config()),
    "student over frames": lambda: Student(student_config(kind="frames", source=lapped_config().source)),
    "student over samples": lambda: Student(student_config(kind="samples")),
}


@pytest.fixture(autouse=True)
def fake_gpu(monkeypatch):
    use_fake_gpu(monkeypatch)
    monkeypatch.setattr(torch, "istft", inverse_stft)
    monkeypatch.setattr(admission, "finite_values", lambda mel: mel)
    monkeypatch.setattr(admission, "_check_range", lambda *_: None)
    mel_range(TINY_MEL)  # kept from now on; it reads values, which fake tensors lack
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def inverse_stft(spectrum, *_, window, length):
    """Return as much audio as `torch.istft`, on the device of its arguments."""
    return (spectrum.real.sum(dim=(1, 2)) * window.sum())[:, None].expand(-1, length)


def synthesizer(name):
    model = MODELS[name]()
    return Synthesizer(Checkpoint(model, family_of(model), TINY_MEL), name, CUDA, torch.bfloat16, "off")


def mel(frames=FRAMES):
    return torch.zeros(5, frames, device=CUDA)


@pytest.mark.parametrize("name", MODELS)
def test_audio_is_synthesized_on_the_device(name):
    x = synthesizer(name).synthesize(mel(), sigma=0.5, seed=1, denoise=0.1, corrections=2)
    assert (x.device, x.shape) == (CUDA, (FRAMES * 8,))


@pytest.mark.parametrize("name", ["lapped", "reverse", "student over frames"])
def test_streams_return_audio_on_the_device(name):
    chunks = list(synthesizer(name).stream(mel(16), seed=1, denoise=0.1, chunk_frames=8))
    assert {chunk.device for chunk in chunks} == {CUDA}
    assert sum(len(chunk) for chunk in chunks) == 16 * 8


@pytest.mark.parametrize("name", ["lapped", "reverse"])
def test_rows_are_synthesized_on_the_device(name):
    row = [Utterance(mel(frames), sigma=0.3, seed=frames, denoise=0.1) for frames in (12, 5, 9)]
    audio = synthesizer(name).synthesize_many(row)
    assert [(x.device, len(x)) for x in audio] == [(CUDA, 8 * frames) for frames in (12, 5, 9)]


@pytest.mark.parametrize("name", ["lapped", "grouping", "student over frames", "student over samples"])
def test_densities_are_computed_on_the_device(name):
    z, log_det = synthesizer(name).model(torch.zeros(2, 3 * 8, device=CUDA), mel(3).expand(2, -1, -1))
    assert (z.device, log_det.device, log_det.shape) == (CUDA, CUDA, (2,))
