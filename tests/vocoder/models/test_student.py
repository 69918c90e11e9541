import pytest
import torch
from tiny_models import perturbed, student_config

from training.losses.kl import drawn
from vocoder.distributions import ENTROPY
from vocoder.layers.conditioning import PitchConfig
from vocoder.layers.source import SourceConfig, harmonic_source
from vocoder.layers.stack.wavenet import WaveNetConfig
from vocoder.models.student import Student
from vocoder.stages import MEL, NOISE, Z, run

FRAMES, HOP, N_MELS = 4, 32, 10
SOURCE = SourceConfig(PitchConfig(channels=4, layers=1, bins=8), f_max=4000.0)
KINDS = {kind: {"kind": kind} for kind in ("samples", "frames")}
KINDS |= {f"{kind}, source": {"kind": kind, "source": SOURCE} for kind in KINDS}
every_kind = pytest.mark.parametrize("name", KINDS)


def config(name):
    stacks = tuple(WaveNetConfig(6, (1, 2), 2, causal=True) for _ in range(3))
    sizes = {"n_mels": N_MELS, "hop_length": HOP, "group_size": 16, "filter_taps": 24, "sample_rate": 9000}
    return student_config(stacks=stacks, **sizes, **KINDS[name])


def student(name):
    made = perturbed(Student(config(name)), 0.1).requires_grad_(False)
    if made.pitch is not None:
        made.pitch.output.bias[-1] = 3.0  # voiced
    return made.eval()


def noise_and_mel(made, batch=2):
    return torch.randn(made.noise_shape(batch, FRAMES)), -5 + torch.randn(batch, N_MELS, FRAMES)


@pytest.mark.usefixtures("float64")
@every_kind
def test_a_student_is_a_flow_and_knows_the_entropy_of_its_samples(name):
    made = student(name)
    noise, mel = noise_and_mel(made)
    z, draw = run(made.stages(1.0), {MEL: mel, NOISE: noise}, Z).signal, drawn(made, noise, mel)
    x, log_det = made.inverse(z, mel)
    back, back_log_det = made(x, mel)
    torch.testing.assert_close(draw.x, x, rtol=0, atol=1e-12)
    torch.testing.assert_close(back, z, rtol=0, atol=1e-9)
    torch.testing.assert_close(back_log_det, -log_det, rtol=0, atol=1e-9)
    jacobian = torch.autograd.functional.jacobian(lambda value: drawn(made, value, mel[:1]).x, noise[:1])
    size = FRAMES * HOP
    matrix = jacobian.reshape(size, size)
    known = torch.linalg.slogdet(matrix)[1] + size * ENTROPY
    torch.testing.assert_close(draw.entropy[0], known, rtol=0, atol=1e-8)
    if draw.mu is not None:  # a sample is a mean that depends on earlier noise, plus scaled noise
        torch.testing.assert_close(draw.mu + torch.exp(draw.log_scale) * noise[:, 0], x, rtol=0, atol=1e-12)
        assert float(matrix.triu(1).abs().max()) < 1e-12
        torch.testing.assert_close(matrix.diagonal().log(), draw.log_scale[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["frames, source", "samples, source"])
def test_an_untrained_student_without_noise_outputs_its_source(name):
    """The source is mixed inversely to the flows, which all start as identities or permutations."""
    noise, mel = noise_and_mel(student(name), batch=1)
    made = Student(config(name)).requires_grad_(False).eval()
    made.pitch.output.bias[-1] = 8.0  # voiced
    x = made.sample(noise, mel, 0.0)
    assert float(torch.cosine_similarity(x, harmonic_source(*made.pitch.pitch(mel), HOP, 9000, SOURCE.f_max))) > 0.99
