"""The stages of a student."""

from __future__ import annotations

from functools import partial

from torch import Tensor

from vocoder.flows.conditional import ConditionalAffine
from vocoder.flows.conv1x1 import InvertibleConv1x1
from vocoder.flows.inverse_autoregressive import InverseAutoregressive
from vocoder.flows.minimum_phase import MinimumPhaseFilter
from vocoder.models.student import Student
from vocoder.streaming.excitation import excitation_stages
from vocoder.streaming.pipeline import MEL, NOISE
from vocoder.streaming.stage import Stage, windowed

__all__ = ["student_stages"]

CONDITION, Z = "condition", "z"


def student_stages(model: Student, sigma: float | None) -> list[Stage]:
    """Return the stages from mel and noise to audio (B, 1, T): one for each flow, the one nearest the noise first.

    Args:
        model: with a mel, without gradients.
        sigma: sampling temperature; the model's default if left out.

    Raises:
        ValueError: the student has no mel.
    """
    if model.condition is None:
        raise ValueError("a student without mel has nothing to stream")
    reach = model.condition.context
    stages = [Stage(CONDITION, (MEL,), windowed(model.condition), reach, reach), *_prior(model, sigma)]
    signal = Z
    for i in range(len(model.steps)):
        stages.append(_flow(model, i, signal))
        signal = stages[-1].output
    if model.envelope is not None:
        stages.append(_envelope(model, model.envelope, signal))
        signal = stages[-1].output
    if model.transform is not None:
        transform = model.transform
        stages.append(Stage("x", (signal,), windowed(lambda x: transform.inverse(x)[0]), 1, 1))  # blocks overlap
    return stages


def _prior(model: Student, sigma: float | None) -> list[Stage]:
    config = model.config
    sigma = config.sigma if sigma is None else sigma
    if model.excitation is None:
        return [Stage(Z, (NOISE, MEL), windowed(lambda noise, mel: model.prior(noise, mel, sigma)))]
    assert model.pitch is not None
    assert model.transform is not None
    assert config.source is not None
    source = (config.hop_length, config.sample_rate, config.source.f_max)
    return excitation_stages(model.pitch, model.transform, model.excitation, sigma, source, (CONDITION, Z))


def _flow(model: Student, i: int, signal: str) -> Stage:
    before = _frames(model, model.config.stacks[i].context[0] + 1)  # the noise enters one step late
    return Stage(f"flow {i}", (signal, CONDITION), windowed(partial(_apply, model, i)), before)


def _apply(model: Student, i: int, z: Tensor, condition: Tensor) -> Tensor:
    step = model.steps[i]
    assert isinstance(step, InverseAutoregressive)
    z, _ = step.inverse(z, condition)
    if not model.mixing:
        return z
    mixing = model.mixing[i]
    assert isinstance(mixing, InvertibleConv1x1)
    mixed: Tensor = mixing(z)[0]
    return mixed


def _envelope(model: Student, flow: ConditionalAffine | MinimumPhaseFilter, signal: str) -> Stage:
    def apply(z: Tensor, mel: Tensor) -> Tensor:
        x, _ = flow.inverse(z, model.envelope_condition(mel))
        return x

    reach = flow.kernel_size // 2
    if isinstance(flow, MinimumPhaseFilter):  # its responses stand at frames, and are mixed between two
        past = _frames(model, flow.taps - 1)
        return Stage("filtered", (signal, MEL), windowed(apply), max(past, reach), reach + 1)
    reach = _frames(model, reach)
    return Stage("spectrum", (signal, MEL), windowed(apply), reach, reach)


def _frames(model: Student, steps: int) -> int:
    """Return how many frames hold so many steps."""
    return -(-steps * model.config.channels // model.config.hop_length)
