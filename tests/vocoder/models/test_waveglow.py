from __future__ import annotations

import pytest
import torch
from tiny_models import TINY_CONFIGS, lapped_config, stirred, tiny_waveglow

from vocoder.flows.conv1x1 import InvertibleConv1x1
from vocoder.layers.source.excitation import SOURCE
from vocoder.models.families import family_of
from vocoder.models.waveglow import WaveGlow
from vocoder.stages import MEL, run

pytestmark = pytest.mark.usefixtures("float64")

FRAMES = 41
CHUNK = slice(20, 22)


@pytest.mark.parametrize("kind", TINY_CONFIGS)
def test_the_density_of_a_linear_model_is_the_normal_one(kind):
    model = WaveGlow(TINY_CONFIGS[kind]())
    stirred(model.convinv, 0.3)
    if model.envelope is not None:
        stirred(model.envelope)
    mel, x = torch.randn(1, 5, 3), torch.randn(1, 24)
    with torch.no_grad():
        mean, _ = model.inverse(torch.zeros(model.noise_shape(1, 3)), mel)
    matrix = torch.autograd.functional.jacobian(lambda v: model(v, mel)[0].flatten(), x).reshape(24, 24)
    normal = torch.distributions.MultivariateNormal(mean[0], precision_matrix=matrix.T @ matrix)
    torch.testing.assert_close(model.log_prob(x, mel), normal.log_prob(x), atol=1e-8, rtol=1e-9)


@pytest.mark.parametrize("kind", TINY_CONFIGS)
def test_each_item_has_its_own_density(kind):
    model, x, mel = tiny_waveglow(kind), torch.randn(3, 24), torch.randn(3, 5, 3)
    alone = torch.cat([model.log_prob(x[i : i + 1], mel[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(model.log_prob(x, mel), alone)


def chunk(model: WaveGlow, z: torch.Tensor, mel: torch.Tensor) -> torch.Tensor:
    hop = model.config.hop_length
    with torch.no_grad():
        return model.inverse(z, mel)[0][:, CHUNK.start * hop : CHUNK.stop * hop]


MODELS = {
    "lapped": lambda: tiny_waveglow("lapped"),
    "lapped, one step a frame": lambda: tiny_waveglow("lapped", group_size=8),
    "grouping": lambda: tiny_waveglow("grouping"),
}


def case(name: str) -> tuple[WaveGlow, torch.Tensor, torch.Tensor, int]:
    model = MODELS[name]()
    context = sum(max(stage.before, stage.after) for stage in model.stages())
    return model, torch.randn(model.noise_shape(1, FRAMES)), torch.randn(1, 5, FRAMES), context


@pytest.mark.parametrize("name", MODELS)
def test_nothing_outside_the_context_changes_a_chunk(name):
    model, z, mel, context = case(name)
    outside = torch.ones(FRAMES, dtype=torch.bool)
    outside[CHUNK.start - context : CHUNK.stop + context] = False
    assert 0 < outside.sum() < FRAMES
    moved_z = torch.where(outside.repeat_interleave(z.shape[2] // FRAMES), torch.randn_like(z), z)
    moved_mel = torch.where(outside, torch.randn_like(mel), mel)
    torch.testing.assert_close(chunk(model, moved_z, moved_mel), chunk(model, z, mel), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_the_context_alone_makes_the_same_chunk(name):
    model, z, mel, context = case(name)
    first, last, hop = CHUNK.start - context, CHUNK.stop + context, model.config.hop_length
    steps = z.shape[2] // FRAMES
    with torch.no_grad():
        x, _ = model.inverse(z[:, :, steps * first : steps * last], mel[:, :, first:last])
    cut = x[:, context * hop : (context + 2) * hop]
    torch.testing.assert_close(cut, chunk(model, z, mel), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", MODELS)
def test_noise_and_mel_inside_the_context_change_a_chunk(name):
    model, z, mel, _ = case(name)
    before, steps = chunk(model, z, mel), z.shape[2] // FRAMES
    for frame in (CHUNK.start - 2, CHUNK.start):
        moved_z, moved_mel = z.clone(), mel.clone()
        moved_z[:, :, steps * frame] += 1.0
        moved_mel[:, :, frame] += 1.0
        assert (chunk(model, moved_z, mel) - before).abs().max() > 1e-9
        assert (chunk(model, z, moved_mel) - before).abs().max() > 1e-9


def test_white_noise_is_scaled_by_sigma():
    model = tiny_waveglow("grouping")
    noise, mel = torch.randn(model.noise_shape(2, 3)), torch.randn(2, 5, 3)
    torch.testing.assert_close(model.prior(noise, mel), 0.6 * noise)
    torch.testing.assert_close(model.prior(noise, mel, 0.0), 0 * noise)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", TINY_CONFIGS)
def test_a_sample_is_the_inverse_of_the_prior(kind):
    model = tiny_waveglow(kind)
    noise, mel = torch.randn(model.noise_shape(2, 7)), -5 + torch.randn(2, model.config.n_mels, 7)
    expected, _ = model.inverse(model.prior(noise, mel, 0.7), mel)
    torch.testing.assert_close(model.sample(noise, mel, 0.7), expected, rtol=0, atol=1e-12)


def test_the_source_starts_in_the_channels_to_which_the_flow_takes_it():
    model = WaveGlow(lapped_config(envelope_floor=-100.0))
    x, mel = torch.randn(1, 24), torch.randn(1, 5, 3)
    assert model.excitation is not None
    coefficients, _ = model.transform(x.unsqueeze(1))
    z, _ = model(x, mel)  # envelope and couplings start as the identity
    torch.testing.assert_close(0.1 * model.excitation.mixing @ coefficients, z)


def test_the_prior_holds_the_source_of_the_mel():
    model, mel = tiny_waveglow("lapped"), torch.randn(2, 5, 6)
    assert model.pitch is not None
    source = run(model.stages(), {MEL: mel}, SOURCE).signal
    assert source.shape == (2, 1, 48)
    with torch.no_grad():
        model.pitch.output.bias[-1] = -1000.0  # unvoiced
    assert torch.equal(run(model.stages(), {MEL: mel}, SOURCE).signal, torch.zeros(2, 1, 48))
    silent = model.prior(torch.zeros(model.noise_shape(2, 6)), mel)
    assert torch.equal(silent, torch.zeros(2, 4, 12))
    assert source.abs().max() > 0.01


def test_swaps_let_two_flows_in_a_row_move_every_channel():
    model = WaveGlow(lapped_config(group_size=8, flows=4))
    order = torch.arange(8.0)
    kept = []
    for conv in model.convinv:
        assert isinstance(conv, InvertibleConv1x1)
        order = conv.matrix() @ order
        kept.append(set(order[:4].round().int().tolist()))
    assert kept == [{0, 2, 4, 6}, {1, 3, 5, 7}, {0, 1, 4, 5}, {2, 3, 6, 7}]


def test_audio_that_is_not_as_long_as_its_mel_is_refused():
    for kind in TINY_CONFIGS:
        with pytest.raises(ValueError, match="audio of 48 samples does not fit a mel of 3 frames: give 8 samples"):
            tiny_waveglow(kind)(torch.zeros(1, 48), torch.zeros(1, 5, 3))


def test_a_missing_mel_is_refused():
    with pytest.raises(ValueError, match="needs the mel"):
        tiny_waveglow("lapped")(torch.zeros(1, 24))
    with pytest.raises(ValueError, match="needs the mel"):
        tiny_waveglow("lapped").inverse(torch.zeros(1, 4, 6))


def test_its_family_is_known():
    assert family_of(tiny_waveglow("lapped")) == "waveglow"
    with pytest.raises(TypeError, match="Linear is no model of a known family: waveglow"):
        family_of(torch.nn.Linear(1, 1))
