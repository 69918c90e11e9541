"""Correct a waveform until its mel is the one that was asked for."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vocoder.config import ConfigError
from vocoder.correction.chains import Chains, View, joined, side_by_side
from vocoder.correction.compiled import CompiledCorrection
from vocoder.correction.order import Order
from vocoder.correction.plain import PlainCorrection
from vocoder.kernels.eligible import compilable
from vocoder.layers.kept import Kept
from vocoder.mel.config import MelConfig
from vocoder.stages import Span, Stage


def correctable(config: MelConfig) -> bool:
    """Whether audio can be corrected towards mels of a convention."""
    plain = config.log == "ln" and config.power == 1.0 and config.mean is None
    return plain and config.n_fft % config.hop_length == 0


class Correction(nn.Module):
    """Filter audio by the difference between its own mel and the target's, a few times, in the order of a stream.

    A sample of a model has the right phases long before it has exactly the right magnitudes, and those are known: they
    were the input. `PlainCorrection` says what a step does, `Order` in which order frames take it. It has no
    parameters and is differentiable; compiled code takes its place where no gradient is asked for. Audio too short to
    have a mel is left as it is, and so is all audio if `count`, how often each frame is corrected, is 0.

    Raises a ConfigError if the mel config is not `correctable`.
    """

    def __init__(self, config: MelConfig, count: int) -> None:
        super().__init__()
        self.config = config
        self.plain = PlainCorrection(config)
        self._kept: Kept[CompiledCorrection | None] = Kept()
        self._set_count(count)

    def with_count(self, count: int | None) -> "Correction":
        """Return the correction with another count, or itself where that is None; both share their tables."""
        if count is None or count == self.count:
            return self
        other = copy.copy(self)
        other._set_count(count)
        return other

    def _set_count(self, count: int) -> None:
        if count and not correctable(self.config):
            raise ConfigError(
                f"a waveform can be corrected towards natural-log magnitude mels whose n_fft is a multiple of "
                f"hop_length, not towards those of {self.config.name!r}"
            )
        self.count = count
        self.order = Order.of(self.config, max(count, 1))

    def forward(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return the corrected audio (B, T) for x (B, T) and its target mel (B, n_mels, T / hop_length)."""
        frames = mel.shape[2]
        if self.count == 0:
            return x
        return Chains(self.order, self.run)(Span(0, 0, frames, frames), x[:, None], mel)[:, 0]

    def at_once(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return audio (B, T) corrected towards its mel (B, n_mels, T / hop_length), all frames of a grid at once."""
        return x if self.count == 0 else self.plain.at_once(self.order, x, mel)

    def many(self, audio: Sequence[Tensor], mels: Sequence[Tensor]) -> list[Tensor]:
        """Return the corrected audio (T,) of utterances of different lengths, with their mels (n_mels, frames)."""
        order, corrected = self.order, list(audio)
        wanted = [i for i, x in enumerate(audio) if self.count and len(x) > self.config.padding]
        given = [side_by_side(order, mels[i].shape[1], View.whole(order, audio[i], mels[i])) for i in wanted]
        if given:
            made = self.run(-order.warm_up, *(torch.cat(parts) for parts in zip(*given, strict=True)))
            pieces = torch.split(made, [len(chains) for chains, _, _ in given])
            for i, own in zip(wanted, pieces, strict=True):
                corrected[i] = joined(order, mels[i].shape[1], own, 1)[0]
        return corrected

    def stages(self, signal: str, target: str) -> list[Stage]:
        """Return the stage that corrects `signal` (B, 1, T) towards the mel `target`, fresh; none if count is 0."""
        if self.count == 0:
            return []
        return [Stage("corrected", (signal, target), Chains(self.order, self.run), self.order.before, self.order.after)]

    def run(self, first: int, audio: Tensor, target: Tensor, exists: Tensor) -> Tensor:
        """Return the corrected chains; arguments as of `PlainCorrection.forward`."""
        compiled = self._compiled(audio, target)
        if compiled is not None:
            return compiled(self.order, first, audio, target, exists)
        corrected: Tensor = self.plain(self.order, first, audio, target, exists)
        return corrected

    def _compiled(self, audio: Tensor, target: Tensor) -> CompiledCorrection | None:
        if not (compilable(audio) and compilable(target)):
            return None
        return self._kept.of((self.plain.filter.window,), lambda: CompiledCorrection.of(self.plain))
