"""Sample-by-sample generation, compiled and by tensor operations, against the parallel pass."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from vocoder.autoregressive import generator
from vocoder.autoregressive.compiled import CompiledGenerator, loop_weights
from vocoder.autoregressive.generator import Generator
from vocoder.autoregressive.stepwise import StepwiseGenerator
from vocoder.flows.linear_prediction import LinearPredictionConfig
from vocoder.layers.stack import WaveNetConfig
from vocoder.models.wavenet import WaveNet
from vocoder.models.wavenet_config import WaveNetModelConfig

FRAMES = 3
LENGTH = 256 * FRAMES
KINDS: dict[str, dict[str, Any]] = {
    "gaussian": {"distribution": "gaussian"},
    "logistic": {"distribution": "logistic", "components": 1},
    "mixture": {"distribution": "logistic", "components": 4, "log_s_floor": None},
    "mulaw": {"distribution": "mulaw", "levels": 32},
}
GENERATORS = ("compiled", "stepwise")
every_way = pytest.mark.parametrize(
    ("which", "kind"), [("compiled", "gaussian"), *(("stepwise", kind) for kind in KINDS)]
)
with_and_without_lpc = pytest.mark.parametrize("lpc", [True, False], ids=["lpc", "plain"])
every_generator = pytest.mark.parametrize("which", GENERATORS)


def tiny(kind: str, lpc: bool = True, kernel_size: int = 2, seed: int = 0) -> WaveNet:
    torch.manual_seed(seed)
    config = WaveNetModelConfig(
        lpc=LinearPredictionConfig(order=6, subframes=2) if lpc else None,
        cond_channels=6,
        stack=WaveNetConfig(channels=8, dilations=(1, 2, 4), kernel_size=kernel_size, causal=True),
        **KINDS[kind],
    )
    model = WaveNet(config)
    torch.nn.init.normal_(model.stack.end.weight, std=0.1)
    return model.requires_grad_(False)


def random_mel(batch: int = 2) -> Tensor:
    return -6 + torch.randn(batch, 80, FRAMES, generator=torch.Generator().manual_seed(1))


def random_noise(batch: int = 2) -> Tensor:
    return torch.randn(batch, LENGTH, generator=torch.Generator().manual_seed(2))


def build(which: str, model: WaveNet, mel: Tensor) -> Generator:
    if which == "stepwise":
        return StepwiseGenerator(model.stack, model.distribution, model.feedback, model.plan(mel))
    made = model.generator(model.plan(mel), torch.float32)
    assert isinstance(made, CompiledGenerator)
    return made


@every_way
@with_and_without_lpc
def test_noise_generates_what_the_parallel_pass_maps_back(kind: str, lpc: bool, which: str) -> None:
    model, mel, z = tiny(kind, lpc), random_mel(), random_noise()
    x, stretch = build(which, model, mel).advance(z)
    again, log_det = model.distribution.forward(model.conditionals(x, mel), x)
    # a sample is rounded to float32, which is a large step of noise where a density is narrow
    torch.testing.assert_close(again, z, rtol=1e-3, atol=2e-3)
    torch.testing.assert_close(stretch, -log_det, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("kernel_size", [1, 2, 3])
@every_generator
def test_every_kernel_size_finds_its_past(kernel_size: int, which: str) -> None:
    model, mel, z = tiny("gaussian", kernel_size=kernel_size), random_mel(), random_noise()
    x, _ = build(which, model, mel).advance(z)
    again, _ = model.distribution.forward(model.conditionals(x, mel), x)
    torch.testing.assert_close(again, z, rtol=1e-3, atol=2e-3)


@every_generator
def test_pieces_of_any_length_continue_each_other(which: str) -> None:
    model, mel, z = tiny("gaussian"), random_mel(), random_noise()
    whole, _ = build(which, model, mel).advance(z)
    source = build(which, model, mel)
    pieces = torch.cat([source.advance(piece)[0] for piece in torch.split(z, [1, 255, 300, 212], dim=1)], dim=1)
    torch.testing.assert_close(pieces, whole, rtol=0, atol=1e-6)


@every_generator
def test_utterances_of_a_batch_do_not_meet(which: str) -> None:
    model, mel, z = tiny("gaussian"), random_mel(3), random_noise(3)
    together, _ = build(which, model, mel).advance(z)
    for i in range(3):
        alone, _ = build(which, model, mel[i : i + 1]).advance(z[i : i + 1])
        torch.testing.assert_close(alone[0], together[i], rtol=0, atol=1e-6)


def test_both_generators_agree_on_extreme_noise() -> None:
    model, mel = tiny("gaussian"), random_mel(1)
    z = torch.zeros(1, LENGTH)
    z[0, 5], z[0, 300] = 12.0, -12.0
    ours, _ = build("compiled", model, mel).advance(z)
    plain, _ = build("stepwise", model, mel).advance(z)
    torch.testing.assert_close(ours[:, :301], plain[:, :301], rtol=1e-3, atol=1e-5)


def test_half_precision_weights_are_kept_as_halves_without_a_difference() -> None:
    model, mel, z = tiny("gaussian"), random_mel(), random_noise()
    assert loop_weights(model.stack.weights())[2].dtype == torch.float32
    for parameter in model.parameters():
        parameter.copy_(parameter.half().float())
    if loop_weights(model.stack.weights())[2].dtype != torch.float16:
        pytest.skip("this processor does not widen half precision itself")
    x, _ = build("compiled", model, mel).advance(z)
    plain, _ = build("stepwise", model, mel).advance(z)
    torch.testing.assert_close(x, plain, rtol=1e-4, atol=1e-6)
    model.stack.in_layers[0].weight[0, 0, 0, 0] = 1e-9  # less than halves can hold
    assert loop_weights(model.stack.weights())[2].dtype == torch.float32
    assert loop_weights(model.stack.weights(), rounded=True)[2].dtype == torch.float16


def test_the_fastest_generator_is_chosen() -> None:
    model, mel = tiny("gaussian"), random_mel()
    plan = model.plan(mel)
    assert isinstance(model.generator(plan, torch.float32), CompiledGenerator)
    assert isinstance(model.generator(plan, torch.float64), StepwiseGenerator)
    other = tiny("mixture")
    assert isinstance(other.generator(other.plan(mel), torch.float32), StepwiseGenerator)


def test_without_compiled_code_a_plain_loop_generates_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model, mel, z = tiny("gaussian"), random_mel(), random_noise()
    expected, _ = build("compiled", model, mel).advance(z)
    monkeypatch.setattr(generator, "kernel", lambda *names: None)
    assert isinstance(model.generator(model.plan(mel), torch.float32), StepwiseGenerator)
    x, _ = model.inverse(z[:, None], mel)
    torch.testing.assert_close(x, expected, rtol=1e-4, atol=1e-6)
