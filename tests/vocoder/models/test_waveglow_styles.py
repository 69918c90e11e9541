"""The audio flow in the manner of NICE, RealNVP and Glow: as exact, as streamable and as packable as WaveGlow."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from exactness import assert_exact
from tiny_models import STYLES, TINY_CONFIGS, tiny_synthesizer, tiny_waveglow

from vocoder.config import ConfigError
from vocoder.flows.conv1x1 import InvertibleConv1x1
from vocoder.flows.rearrangement import Permutation
from vocoder.models.waveglow import WaveGlow
from vocoder.sampling import Utterance

FRAMES = 30


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("kind", TINY_CONFIGS)
@pytest.mark.parametrize("style", STYLES)
def test_both_directions_are_exact(style, kind):
    model = tiny_waveglow(kind, **STYLES[style]).eval()
    z = torch.randn(model.noise_shape(2, 3))
    assert_exact(model, torch.randn(2, 24), z, torch.randn(2, 5, 3))


@pytest.mark.usefixtures("float64")
def test_nice_keeps_volume_but_for_its_element_wise_scaling():
    model = tiny_waveglow("lapped", **STYLES["nice"])
    x, mel = torch.randn(2, 24), torch.randn(2, 5, 3)
    assert model.envelope is not None
    _, scaling = model.envelope(model.transform(x.unsqueeze(1))[0], model.envelope_condition(mel))
    torch.testing.assert_close(model(x, mel)[1], scaling)


@pytest.mark.parametrize("kind", TINY_CONFIGS)
@pytest.mark.parametrize("style", STYLES)
def test_streams_and_company_change_nothing(style, kind):
    v = tiny_synthesizer(kind, **STYLES[style])
    generator = torch.Generator().manual_seed(1)
    mels = [torch.randn(5, frames, generator=generator) - 6 for frames in (FRAMES, 7)]
    whole = v.synthesize(mels[0], seed=1)
    rounding = 1e-4 * float(whole.abs().max())  # of float32, through several flows
    streamed = torch.cat(list(v.stream(mels[0], seed=1, chunk_frames=4)))
    torch.testing.assert_close(streamed, whole, atol=rounding, rtol=0)
    together = v.synthesize_many([Utterance(mel, seed=i + 1) for i, mel in enumerate(mels)])
    torch.testing.assert_close(together[0], whole, atol=rounding, rtol=0)
    torch.testing.assert_close(together[1], v.synthesize(mels[1], seed=2), atol=rounding, rtol=0)


@pytest.mark.parametrize("kind", TINY_CONFIGS)
def test_what_is_left_out_leaves_no_trace(kind):
    """Models of before these settings existed hold the same tensors as models that do not use them."""
    plain, glow = WaveGlow(TINY_CONFIGS[kind]()), WaveGlow(TINY_CONFIGS[kind](actnorm=True))
    added = set(glow.state_dict()) - set(plain.state_dict())
    assert {name.split(".")[0] for name in added} == {"actnorms"}
    assert not set(plain.state_dict()) - set(glow.state_dict())
    names = {"coupling", "actnorm"}
    assert {f.name: f.default for f in dataclasses.fields(plain.config) if f.name in names} == {
        "coupling": "affine",
        "actnorm": False,
    }


def test_fixed_orders_have_nothing_to_learn_and_differ_from_flow_to_flow():
    shuffled = WaveGlow(TINY_CONFIGS["lapped"](group_size=8, **STYLES["realnvp"]))
    assert not [name for name, _ in shuffled.named_parameters() if name.startswith("convinv")]
    orders = {tuple(conv.order.tolist()) for conv in shuffled.convinv if isinstance(conv, Permutation)}
    assert len(orders) == 3
    learned = WaveGlow(TINY_CONFIGS["lapped"]()).convinv
    assert all(isinstance(conv, InvertibleConv1x1) for conv in learned)


def test_a_permutation_is_a_matrix():
    x = torch.randn(2, 4, 3)
    conv = WaveGlow(TINY_CONFIGS["lapped"](**STYLES["realnvp"])).convinv[1]
    assert isinstance(conv, Permutation)
    torch.testing.assert_close(conv.matrix() @ x, conv(x)[0], rtol=0, atol=0)


def test_the_oldest_layout_has_affine_couplings():
    with pytest.raises(ConfigError, match="alternate_halves belongs to affine couplings"):
        TINY_CONFIGS["grouping"](early_size=2, early_every=0, alternate_halves=True, coupling="additive")
