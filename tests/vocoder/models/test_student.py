from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from vocoder.checkpoint import Checkpoint, load_model, save_model
from vocoder.config import ConfigError
from vocoder.flows.inverse_autoregressive import InverseAutoregressive
from vocoder.layers.source.harmonics import harmonic_source
from vocoder.layers.source.pitch import PitchConfig
from vocoder.layers.stack import WaveNetConfig
from vocoder.mel.config import preset
from vocoder.models.student import Student
from vocoder.models.student_config import StudentConfig
from vocoder.models.waveglow_config import SourceConfig
from vocoder.synthesis.synthesizer import Synthesizer

FRAMES, HOP, N_MELS = 6, 32, 10
SOURCE = SourceConfig(PitchConfig(channels=4, layers=1, bins=8), f_max=4000.0)
KINDS = {
    "samples, gaussian": {"kind": "samples", "noise": "gaussian"},
    "samples, logistic": {"kind": "samples", "noise": "logistic"},
    "samples, no filter": {"kind": "samples", "noise": "gaussian", "filter_taps": 0},
    "samples, source": {"kind": "samples", "noise": "gaussian", "source": SOURCE},
    "frames, gaussian": {"kind": "frames", "noise": "gaussian"},
    "frames, logistic": {"kind": "frames", "noise": "logistic"},
    "frames, past alone": {"kind": "frames", "noise": "gaussian", "within_frame": False},
    "frames, source": {"kind": "frames", "noise": "gaussian", "source": SOURCE},
}
SAMPLES = [name for name in KINDS if name.startswith("samples")]


def config(name: str) -> StudentConfig:
    stacks = tuple(WaveNetConfig(6, (1, 2), 2, causal=True) for _ in range(3))
    base = StudentConfig(
        n_mels=N_MELS, hop_length=HOP, group_size=16, cond_channels=4, filter_taps=24, sample_rate=9000, stacks=stacks
    )
    return replace(base, **KINDS[name])


def student(name: str) -> Student:
    """A student whose weights are all away from their starting values."""
    torch.manual_seed(1)
    made = Student(config(name))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        if made.pitch is not None:
            made.pitch.output.bias[-1] = 3.0  # voiced
    return made.requires_grad_(False).eval()


def noise_and_mel(made: Student, batch: int = 2) -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    return torch.randn(made.noise_shape(batch, FRAMES)), -5 + torch.randn(batch, N_MELS, FRAMES)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", KINDS)
def test_round_trip(name):
    made = student(name)
    noise, mel = noise_and_mel(made)
    z = made.prior(noise, mel)
    x, log_det = made.inverse(z, mel)
    back, back_log_det = made(x, mel)
    assert x.shape == (2, FRAMES * HOP)
    torch.testing.assert_close(back, z, rtol=0, atol=1e-9)
    torch.testing.assert_close(back_log_det, -log_det, rtol=0, atol=1e-9)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", KINDS)
def test_density_of_its_own_sample_is_that_of_the_sequential_direction(name):
    made = student(name)
    noise, mel = noise_and_mel(made)
    draw = made.draw(noise, mel)
    torch.testing.assert_close(draw.x, made.inverse(made.prior(noise, mel, 1.0), mel)[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(draw.log_prob, made.log_prob_step_by_step(draw.x, mel), rtol=0, atol=1e-9)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", KINDS)
def test_density_is_that_of_white_noise_by_the_jacobian(name):
    made = student(name)
    noise, mel = noise_and_mel(made, batch=1)
    jacobian = torch.autograd.functional.jacobian(lambda value: made.draw(value, mel).x, noise)
    assert isinstance(jacobian, Tensor)
    size = FRAMES * HOP
    white = -0.5 * (noise.square().sum() + size * math.log(2 * math.pi))
    expected = white - torch.linalg.slogdet(jacobian.reshape(size, size))[1]
    torch.testing.assert_close(made.draw(noise, mel).log_prob[0], expected, rtol=0, atol=1e-8)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", SAMPLES)
def test_total_shift_and_scale_equal_the_composition_flow_by_flow(name):
    made = student(name)
    noise, mel = noise_and_mel(made)
    draw = made.draw(noise, mel)
    assert draw.mu is not None
    assert draw.log_scale is not None
    z = made.base.from_white(noise)[:, 0]
    torch.testing.assert_close(draw.mu + torch.exp(draw.log_scale) * z, draw.x, rtol=0, atol=1e-12)
    # At one sample: every flow in turn, as a map of that sample's noise with all that came before it held fixed.
    at, cond = 100, made.condition(mel)
    signal = made.prior(noise, mel)
    scale, shift = torch.ones(2), signal[:, 0, at] - z[:, at]
    for step in made.steps:
        assert isinstance(step, InverseAutoregressive)
        t, log_s = step.shift_and_log_scale(signal, cond)
        scale, shift = scale * log_s[:, 0, at].exp(), shift * log_s[:, 0, at].exp() + t[:, 0, at]
        signal, _ = step.inverse(signal, cond)
    if made.envelope is not None:
        t, log_s = made.envelope.shift_and_log_scale(signal, made.envelope_condition(mel))
        scale, shift = scale * log_s[:, 0, at].exp(), shift * log_s[:, 0, at].exp() + t[:, 0, at]
    torch.testing.assert_close(draw.mu[:, at], shift, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(draw.log_scale[:, at], scale.log(), rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", SAMPLES)
def test_conditionals_depend_on_earlier_noise_alone(name):
    made = student(name)
    noise, mel = noise_and_mel(made)
    changed = noise.clone()
    changed[:, :, 90:] += 1.0
    before, after = made.draw(noise, mel), made.draw(changed, mel)
    assert before.mu is not None
    assert after.mu is not None
    torch.testing.assert_close(after.mu[:, :91], before.mu[:, :91], rtol=0, atol=1e-12)
    assert before.log_scale is not None
    torch.testing.assert_close(after.log_scale[:, :91], before.log_scale[:, :91], rtol=0, atol=1e-12)
    assert not torch.allclose(after.mu[:, 91:], before.mu[:, 91:])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("name", ["frames, gaussian", "frames, past alone"])
def test_frames_depend_on_earlier_and_their_own_noise_alone(name):
    made = student(name)
    noise, mel = noise_and_mel(made)
    changed = noise.clone()
    changed[:, :, 6:] += 1.0
    before, after = made.draw(noise, mel).x, made.draw(changed, mel).x
    assert made.transform is not None
    coefficients = [made.transform(x.unsqueeze(1))[0] for x in (before, after)]
    torch.testing.assert_close(coefficients[0][:, :, :6], coefficients[1][:, :, :6], rtol=0, atol=1e-12)
    assert not torch.allclose(coefficients[0][:, :, 6:], coefficients[1][:, :, 6:])


@pytest.mark.parametrize("name", KINDS)
def test_entropy_is_the_mean_of_minus_the_log_density(name):
    made = student(name)
    torch.manual_seed(3)
    mel = (-5 + torch.randn(1, N_MELS, FRAMES)).expand(512, -1, -1)
    draw = made.draw(torch.randn(made.noise_shape(512, FRAMES)), mel)
    difference = draw.entropy + draw.log_prob
    assert abs(float(difference.mean())) < 4 * float(difference.std()) / math.sqrt(512)
    assert float(draw.entropy.std()) < float(draw.log_prob.std())


@pytest.mark.parametrize("name", KINDS)
def test_temperature_scales_the_noise(name):
    made = student(name)
    noise, mel = noise_and_mel(made)
    torch.testing.assert_close(
        made.draw(noise, mel, sigma=0.5).x, made.inverse(made.prior(noise, mel, 0.5), mel)[0], rtol=0, atol=1e-5
    )
    cold = made.draw(noise, mel, sigma=0.5).entropy - made.draw(noise, mel).entropy
    if name == "samples, no filter":  # without nonlinearity of scale the volume would shrink exactly; near enough here
        assert float(cold.mean()) == pytest.approx(FRAMES * HOP * math.log(0.5), rel=0.2)
    assert float(cold.max()) < 0
    with pytest.raises(ValueError, match="above 0"):
        made.draw(noise, mel, sigma=0.0)


@pytest.mark.parametrize("name", ["frames, source", "samples, source"])
def test_an_untrained_student_without_noise_says_its_source(name):
    """The mixing of the source undoes that of the flows, which all start as identities or permutations."""
    noise, mel = noise_and_mel(student(name), batch=1)
    made = Student(replace(config(name), filter_taps=0)).requires_grad_(False).eval()
    assert made.pitch is not None
    made.pitch.output.bias[-1] = 8.0  # voiced
    x, _ = made.inverse(made.prior(noise, mel, 0.0), mel)
    f0, voicing = made.pitch.pitch(mel)
    source = harmonic_source(f0, voicing, HOP, 9000, SOURCE.f_max)
    assert float(torch.cosine_similarity(x, source)) > 0.99
    plain = Student(config("frames, gaussian"))
    assert float(plain.prior(noise, mel, 0.0).abs().max()) == 0.0


@pytest.mark.parametrize("name", KINDS)
def test_a_synthesizer_speaks_and_streams_without_a_seam(name, tmp_path):
    sizes = {"n_mels": N_MELS, "hop_length": HOP, "n_fft": 128, "win_length": 128}
    mel_config = replace(preset("nvidia"), sample_rate=9000, f_max=4000.0, **sizes)
    save_model(tmp_path, student(name), mel_config)
    loaded = load_model(tmp_path)
    assert loaded.family == "student"
    assert isinstance(loaded, Checkpoint)
    voice = Synthesizer(loaded, "student", "cpu", torch.float32)
    mel = (-5 + np.random.default_rng(0).standard_normal((N_MELS, 40))).astype(np.float32)
    x = voice.synthesize(mel, seed=3)
    assert x.shape == (40 * HOP,)
    streamed = np.concatenate(list(voice.stream(mel, seed=3, chunk_frames=9)))
    assert np.abs(streamed - x).max() < 1e-5 * max(1.0, np.abs(x).max())


def test_without_a_mel():
    stacks = (WaveNetConfig(4, (1, 2), 2, causal=True),)
    made = Student(StudentConfig(kind="samples", n_mels=0, cond_channels=0, hop_length=1, filter_taps=0, stacks=stacks))
    noise = torch.randn(3, 1, 20)
    draw = made.draw(noise)
    assert torch.equal(draw.x, noise[:, 0])
    torch.testing.assert_close(made.log_prob_step_by_step(draw.x), draw.log_prob)


def test_a_mel_is_asked_for():
    made = student("frames, gaussian")
    with pytest.raises(ValueError, match="needs the mel"):
        made.inverse(torch.zeros(made.noise_shape(1, 2)))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"stacks": (WaveNetConfig(4, (1,), 3),)}, "causal"),
        ({"stacks": ()}, "at least one flow"),
        ({"n_mels": 0}, "n_mels and cond_channels"),
        ({"group_size": 96}, "multiple of group_size"),
        ({"noise": "logistic", "source": SOURCE}, "harmonic source"),
        ({"filter_taps": 7}, "filter_taps"),
    ],
)
def test_configurations_that_make_no_student(changes, text):
    with pytest.raises(ConfigError, match=text):
        replace(StudentConfig(), **changes)
