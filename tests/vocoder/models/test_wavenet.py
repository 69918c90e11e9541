"""The autoregressive WaveNet: causal, a flow, and a density."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from vocoder.checkpoint import Checkpoint, load_model, save_model
from vocoder.config import ConfigError
from vocoder.flows.linear_prediction import LinearPredictionConfig
from vocoder.layers.stack import WaveNetConfig
from vocoder.mel.config import preset
from vocoder.models.families import family_of
from vocoder.models.wavenet import WaveNet, WaveNetModelConfig
from vocoder.synthesis.synthesizer import Synthesizer

KINDS: dict[str, dict[str, Any]] = {
    "gaussian": {"distribution": "gaussian"},
    "mixture": {"distribution": "logistic", "components": 3},
}
every_kind = pytest.mark.parametrize("kind", KINDS)
with_and_without_lpc = pytest.mark.parametrize("lpc", [True, False], ids=["lpc", "plain"])


def tiny(kind: str = "gaussian", lpc: bool = True, **changes: Any) -> WaveNet:
    config = WaveNetModelConfig(
        lpc=LinearPredictionConfig(order=6, subframes=2) if lpc else None,
        cond_channels=6,
        stack=WaveNetConfig(channels=8, dilations=(1, 2, 4), kernel_size=2, causal=True),
        **(KINDS[kind] | changes),
    )
    model = WaveNet(config)
    torch.nn.init.normal_(model.stack.end.weight, std=0.1)
    return model.requires_grad_(False)


def tiny_batch(batch: int = 2, frames: int = 2) -> tuple[Tensor, Tensor]:
    return 0.03 * torch.randn(batch, 256 * frames), -6 + torch.randn(batch, 80, frames)


@every_kind
@with_and_without_lpc
def test_it_is_a_causal_flow_and_a_density(kind: str, lpc: bool) -> None:
    model, (x, mel) = tiny(kind, lpc).double(), (value.double() for value in tiny_batch(2, 1))
    z, log_det = model(x, mel)
    jacobian = torch.autograd.functional.jacobian(lambda v: model(v, mel[:1])[0], x[:1]).reshape(256, 256)
    torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], log_det[0], rtol=1e-7, atol=1e-5)
    assert float(jacobian.triu(1).abs().max()) == 0.0
    assert float(jacobian.diagonal(-1).abs().min()) > 0.0
    flow = log_det - 0.5 * (z.square() + math.log(2 * math.pi)).sum(dim=(1, 2))
    torch.testing.assert_close(model.log_prob(x, mel), flow, rtol=0, atol=1e-7)
    noise = torch.randn_like(z)
    made, inverse_log_det = model.inverse(noise, mel)
    again, log_det = model(made, mel)
    torch.testing.assert_close(again, noise, rtol=0, atol=1e-6)
    torch.testing.assert_close(inverse_log_det, -log_det, rtol=1e-7, atol=1e-5)


def test_gradients_reach_the_audio_and_every_parameter() -> None:
    model, (x, mel) = tiny("mixture").requires_grad_(), tiny_batch()
    x.requires_grad_()
    model.log_prob(x, mel).sum().backward()
    assert x.grad is not None
    assert float(x.grad.abs().min()) > 0
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().max()) > 0, name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stack": WaveNetConfig()}, "must be causal"),
        ({"hop_length": 200}, "hop_length is 200, but the mel preset 'nvidia' of lpc has 256"),
        ({"cond_channels": 0}, "cond_channels and components 1 or more"),
    ],
)
def test_configurations_that_cannot_work_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        WaveNetModelConfig(**changes)


def voice(kind: str = "gaussian", **changes: Any) -> Synthesizer:
    checkpoint = Checkpoint(tiny(kind, **changes), "wavenet", preset("nvidia"))
    return Synthesizer(checkpoint, "tiny", "cpu", torch.float32, guard="off")


def test_a_model_directory_speaks(tmp_path: Any) -> None:
    save_model(tmp_path, tiny(sigma=0.8), preset("nvidia"))
    checkpoint = load_model(tmp_path)
    assert checkpoint.family == family_of(checkpoint.model) == "wavenet"
    v, mel = Synthesizer(checkpoint, "tiny", "cpu", torch.float32, guard="off"), -6 + torch.randn(2, 80, 5)
    x = v.synthesize(mel, seed=3)
    assert x.shape == (2, 5 * 256)
    torch.testing.assert_close(x[1], v.synthesize(mel[1], seed=4), rtol=0, atol=1e-5)
    assert torch.equal(x, v.synthesize(mel, seed=3, sigma=0.8))
    assert float((x - v.synthesize(mel, seed=3, sigma=0.5)).abs().max()) > 1e-3
    assert torch.isfinite(v.synthesize(mel, seed=3, denoise=0.1)).all()


@pytest.mark.parametrize(
    ("kind", "frames", "chunk_frames"), [("gaussian", 7, 2), ("gaussian", 7, 5), ("mixture", 2, 1)]
)
def test_a_stream_is_what_is_synthesized_at_once(kind: str, frames: int, chunk_frames: int) -> None:
    v, mel = voice(kind), -6 + torch.randn(80, frames)
    chunks = list(v.stream(mel, seed=1, chunk_frames=chunk_frames, first_chunk_frames=chunk_frames))
    lengths = [min(chunk_frames, frames - i) for i in range(0, frames, chunk_frames)]
    assert [len(chunk) // 256 for chunk in chunks] == lengths
    torch.testing.assert_close(torch.cat(chunks), v.synthesize(mel, seed=1), rtol=0, atol=1e-6)


def test_a_stream_keeps_to_short_chunks() -> None:
    """Who speaks sample by sample gains nothing from longer ones, which come later."""
    chunks = list(voice().stream(-6 + torch.randn(80, 200), seed=1))
    assert [len(chunk) // 256 for chunk in chunks] == [8, 8, 16, 32, 64, 64, 8]
