"""The stages of models that were trained elsewhere: autoregressive WaveNets and ClariNet's student."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from vocoder.generation.published import PublishedGenerator
from vocoder.models.published_student import PublishedStudent
from vocoder.models.published_wavenet import PublishedWaveNet
from vocoder.streaming.pipeline import MEL, NOISE
from vocoder.streaming.stage import Span, Stage, frames_of, windowed

__all__ = ["published_student_stages", "published_wavenet_stages"]

CONDITION, Z = "condition", "z"


def published_wavenet_stages(model: PublishedWaveNet, sigma: float | None) -> list[Stage]:
    """Return the stages from mel and noise to audio (B, 1, T); the second remembers what it said.

    Args:
        model: without gradients.
        sigma: sampling temperature; the model's default if left out.
    """
    return [_condition(model), Stage("x", (NOISE, CONDITION), _Speech(model, sigma))]


def published_student_stages(model: PublishedStudent, sigma: float | None) -> list[Stage]:
    """Return the stages from mel and noise to audio (B, 1, T): one for each flow, the one nearest the noise first.

    Args:
        model: without gradients.
        sigma: sampling temperature; the model's default if left out.
    """
    prior = Stage(Z, (NOISE, MEL), windowed(lambda noise, mel: model.prior(noise, mel, sigma)))
    stages, signal = [_condition(model), prior], Z
    for i, stack in enumerate(model.config.stacks):
        before = -(-(stack.reach + 1) // model.config.hop_length)  # the noise enters one sample late
        stages.append(Stage(f"flow {i}", (signal, CONDITION), windowed(partial(_flow, model, i)), before))
        signal = stages[-1].output
    return [*stages, Stage("x", (signal, Z), partial(_begun, model))]


def _condition(model: PublishedWaveNet | PublishedStudent) -> Stage:
    reach = model.upsampling.context
    return Stage(CONDITION, (MEL,), windowed(model.upsampling), reach, reach)


def _flow(model: PublishedStudent, i: int, signal: Tensor, condition: Tensor) -> Tensor:
    x, _ = model.flow(i, signal, condition)
    return x


def _begun(model: PublishedStudent, span: Span, signal: Tensor, z: Tensor) -> Tensor:
    """Put the first sample of an utterance in its place."""
    x = model.with_first(signal, z) if span.first == 0 else signal
    return frames_of(x, span)


class _Speech:
    """The samples frame by frame; the generator holds the past that the network hears."""

    def __init__(self, model: PublishedWaveNet, sigma: float | None) -> None:
        self._model = model
        self._sigma = sigma
        self._generator: PublishedGenerator | None = None

    @torch.no_grad()
    def __call__(self, span: Span, noise: Tensor, condition: Tensor) -> Tensor:
        condition = frames_of(condition, span)
        if self._generator is None:
            self._generator = self._model.generator_of(condition)
        else:
            self._generator.follow(condition)
        z = self._model.prior(frames_of(noise, span), condition, self._sigma)
        return self._generator.advance(z[:, 0])[0].unsqueeze(1)
