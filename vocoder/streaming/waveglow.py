"""The stages of a WaveGlow."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from vocoder.layers.mel_encoder import MelEncoder
from vocoder.models.waveglow import WaveGlow
from vocoder.streaming.excitation import excitation_stages
from vocoder.streaming.pipeline import MEL, NOISE
from vocoder.streaming.stage import Stage, windowed

__all__ = ["waveglow_stages"]

CONDITION, Z = "condition", "z"


def waveglow_stages(model: WaveGlow, sigma: float | None) -> list[Stage]:
    """Return the stages from mel and noise to audio (B, 1, T): one for each flow, the one nearest the noise first.

    Args:
        model: without gradients.
        sigma: sampling temperature; the model's default if left out.
    """
    sigma = model.config.sigma if sigma is None else sigma
    stages = [_conditioning(model), *_prior(model, sigma)]
    signal = Z
    for i in reversed(range(model.config.flows)):
        stages.append(_flow(model, i, signal))
        signal = stages[-1].output
    before = after = 0
    if model.envelope is not None:
        reach = _frames(model, model.envelope.kernel_size // 2)
        stages.append(Stage("spectrum", (signal, MEL), windowed(partial(_envelope, model)), reach, reach))
        signal, before, after = "spectrum", 1, 1  # the overlap of the lapped transform
    stages.append(Stage("x", (signal,), windowed(lambda x: model.transform.inverse(x)[0]), before, after))
    return stages


def _conditioning(model: WaveGlow) -> Stage:
    if isinstance(model.condition, MelEncoder):
        before = after = model.condition.context
    else:
        before, after = (model.config.upsample_kernel - 1) // model.config.hop_length, 0
    return Stage(CONDITION, (MEL,), windowed(model.condition), before, after)


def _prior(model: WaveGlow, sigma: float) -> list[Stage]:
    config = model.config
    if model.excitation is None:
        return [Stage(Z, (NOISE, MEL), windowed(lambda noise, mel: model.prior(noise, mel, sigma)))]
    assert model.pitch is not None
    assert config.source is not None
    source = (config.hop_length, config.sample_rate, config.source.f_max)
    return excitation_stages(model.pitch, model.transform, model.excitation, sigma, source, (CONDITION, Z))


def _flow(model: WaveGlow, i: int, signal: str) -> Stage:
    before, after = (_frames(model, steps) for steps in model.config.stack.context)
    inputs = (signal, CONDITION, Z) if _exits(model, i) > _exits(model, i - 1) else (signal, CONDITION)
    return Stage(f"flow {i}", inputs, windowed(partial(_undo, model, i)), before, after)


def _undo(model: WaveGlow, i: int, x: Tensor, condition: Tensor, *z: Tensor) -> Tensor:
    """Take one flow back; the channels of `z` that left before it come in again."""
    if i == model.config.flows - 1:
        x = x[:, _exits(model, i) :]
    x, _ = model.undo(i, x, condition)
    return torch.cat([z[0][:, _exits(model, i - 1) : _exits(model, i)], x], dim=1) if z else x


def _exits(model: WaveGlow, i: int) -> int:
    """Return how many channels leave before flow number `i` or an earlier one."""
    config = model.config
    return config.early_size * (max(i, 0) // config.early_every) if config.early_every else 0


def _envelope(model: WaveGlow, x: Tensor, mel: Tensor) -> Tensor:
    assert model.envelope is not None
    return model.envelope.inverse(x, model.envelope_condition(mel))[0]


def _frames(model: WaveGlow, steps: int) -> int:
    """Return how many frames hold so many steps."""
    return -(-steps * model.config.group_size // model.config.hop_length)
