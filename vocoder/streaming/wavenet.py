"""The stage of an autoregressive WaveNet."""

from __future__ import annotations

from torch import Tensor

from vocoder.generation.generator import Generator, generator
from vocoder.models.wavenet import WaveNet
from vocoder.streaming.pipeline import MEL, NOISE
from vocoder.streaming.stage import Span, Stage

__all__ = ["wavenet_stages"]


def wavenet_stages(model: WaveNet, sigma: float | None) -> list[Stage]:
    """Return the stage from mel and noise to audio (B, 1, T): it goes sample by sample and remembers what it said.

    Args:
        model: without gradients.
        sigma: sampling temperature; the model's default if left out.
    """
    reach = model.condition.context
    before, after = (reach, max(reach, 1)) if model.lpc is not None else (reach, reach)
    return [Stage("x", (NOISE, MEL), _Speech(model, sigma), before, after)]


class _Speech:
    """The samples frame by frame; the generator holds the past that the network sees."""

    def __init__(self, model: WaveNet, sigma: float | None) -> None:
        self._model = model
        self._sigma = sigma
        self._generator: Generator | None = None

    def __call__(self, span: Span, noise: Tensor, mel: Tensor) -> Tensor:
        hop_length = self._model.config.hop_length
        start, stop = span.start - span.first, span.stop - span.first
        plan = self._model.plan(mel).of(start, stop)
        if self._generator is None:
            self._generator = generator(self._model.stack, self._model.distribution, plan, noise.dtype)
        else:
            self._generator.follow(plan)
        z = self._model.prior(noise[:, :, start * hop_length : stop * hop_length], mel, self._sigma)
        return self._generator.advance(z[:, 0].contiguous())[0].unsqueeze(1)
