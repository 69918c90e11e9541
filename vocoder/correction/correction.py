"""Correct a waveform until its mel is the one that was asked for."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vocoder.config import ConfigError
from vocoder.correction.order import BLOCK, Order
from vocoder.correction.plain import PlainCorrection
from vocoder.mel.config import MelConfig
from vocoder.stages import Span, Stage

__all__ = ["BEST_CORRECTIONS", "Correction", "correctable"]

BEST_CORRECTIONS = 40
"""corrections beyond which little is gained"""


def correctable(config: MelConfig) -> bool:
    """Whether audio can be corrected towards mels of a convention."""
    plain = config.log == "ln" and config.power == 1.0 and config.mean is None
    return plain and config.n_fft % config.hop_length == 0


class Correction(nn.Module):
    """Filter audio by the difference between its own mel and the target's, a few times, in the order of a stream.

    A sample of a model has the right phases long before it has exactly the right magnitudes, and those are known: they
    were the input. `PlainCorrection` says what a step does, `Order` in which order frames take it. It has no
    parameters and is differentiable. Audio too short to have a mel is left as it is.

    Args:
        config: the mel convention; natural logarithm of a magnitude, without statistics, n_fft a multiple of the hop.
        count: how often each frame is corrected; 0 leaves audio as it is.

    Raises:
        ConfigError: the convention is of another kind.
    """

    def __init__(self, config: MelConfig, count: int) -> None:
        super().__init__()
        self.config = config
        self.plain = PlainCorrection(config)
        self._set_count(count)

    def with_count(self, count: int | None) -> Correction:
        """Return the correction with another count, or itself where that is None; both share their tables.

        Raises:
            ConfigError: audio cannot be corrected towards mels of this convention.
        """
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

    @property
    def frames_ahead(self) -> int:
        """Number of frames after a frame of corrected audio that it depends on."""
        return self.order.after if self.count else 0

    def forward(self, x: Tensor, mel: Tensor) -> Tensor:
        """Return the corrected audio (B, T) for x (B, T) and its target mel (B, n_mels, T / hop_length)."""
        frames = mel.shape[2]
        if self.count == 0:
            return x
        return _Chains(self)(Span(0, 0, frames, frames), x[:, None], mel)[:, 0]

    def many(self, audio: Sequence[Tensor], mels: Sequence[Tensor]) -> list[Tensor]:
        """Return the corrected audio (T,) of utterances of different lengths, with their mels (n_mels, frames)."""
        return [self(x[None], mel[None])[0] for x, mel in zip(audio, mels, strict=True)]

    def stages(self, signal: str, target: str) -> list[Stage]:
        """Return the stage that corrects `signal` (B, 1, T) towards the mel `target`, fresh; none if count is 0."""
        if self.count == 0:
            return []
        return [Stage("corrected", (signal, target), _Chains(self), self.order.before, self.order.after)]

    def run(self, first: int, audio: Tensor, target: Tensor, heard: Tensor) -> Tensor:
        """Return the corrected chains; arguments as of `PlainCorrection.forward`."""
        corrected: Tensor = self.plain(self.order, first, audio, target, heard)
        return corrected


@dataclass
class _Chain:
    """A chain on its way: hops that it has made, and the samples (B, T) that its window still reaches into."""

    hop: int
    active: Tensor


class _Chains:
    """The stage of a correction, which remembers the chains that a piece of audio ends within."""

    def __init__(self, correction: Correction) -> None:
        self._correction = correction
        self._order = correction.order
        self._unfinished: dict[int, _Chain] = {}

    def __call__(self, span: Span, x: Tensor, mel: Tensor) -> Tensor:
        """Return the wanted frames (B, 1, T) of the windows of audio x (B, 1, T) and of the mel (B, n_mels, frames)."""
        order, ended = self._order, span.last < span.stop + self._order.after
        if ended and span.last * order.hop_length <= order.padding:
            return x[:, :, (span.start - span.first) * order.hop_length :]
        view = _View(order, span, x[:, 0], mel, ended)
        if span.start == 0 and ended:
            return self._whole(span, view)[:, None]
        pieces = [self._advance(block, span, view) for block in range(span.start // BLOCK, -(-span.stop // BLOCK))]
        return torch.cat(pieces, dim=1)[:, None]

    def _whole(self, span: Span, view: _View) -> Tensor:
        """Return all of an utterance, its chains side by side."""
        order, batch, count = self._order, view.batch, -(-span.stop // BLOCK)
        length = (order.slots - 1 + order.hops) * order.hop_length
        last = (count - 1) * BLOCK
        audio = view.audio(-order.before, last - order.before + order.slots - 1 + order.hops)
        target, heard = view.target(-order.warm_up, last - order.warm_up + order.frames)
        made = self._correction.run(
            -order.warm_up,
            audio.unfold(1, length, BLOCK * order.hop_length).flatten(0, 1),
            target.unfold(1, order.frames, BLOCK).transpose(2, 3).flatten(0, 1),
            heard.unfold(0, order.frames, BLOCK).repeat(batch, 1),
        )
        own = made[:, order.before * order.hop_length : (order.before + BLOCK) * order.hop_length]
        return own.reshape(batch, -1)[:, : span.stop * order.hop_length]

    def _advance(self, block: int, span: Span, view: _View) -> Tensor:
        """Return what is wanted of a chain (B, T), from where it stands or, if it is new, from its start."""
        order, first = self._order, block * BLOCK
        start, stop = max(span.start, first), min(span.stop, first + BLOCK)
        begin = first - order.before
        chain = self._unfinished.pop(block, None) or _Chain(0, view.audio(begin, begin + order.slots - 1))
        hops = order.before + stop - first - chain.hop
        coming = begin + order.slots - 1 + chain.hop
        audio = torch.cat([chain.active, view.audio(coming, coming + hops)], dim=1)
        frame = first - order.warm_up + chain.hop
        target, heard = view.target(frame, frame + hops + order.corrections - 1)
        made = self._correction.run(frame, audio, target, heard.expand(view.batch, -1))
        final = hops * order.hop_length
        if stop < first + BLOCK:
            self._unfinished[block] = _Chain(chain.hop + hops, made[:, final:])
        return made[:, final - (stop - start) * order.hop_length : final]


class _View:
    """Audio and mel of an utterance, as far as the windows show them, and what is beyond its ends.

    Args:
        order: of the correction.
        span: of the windows.
        x: (B, T).
        mel: (B, n_mels, frames).
        ended: whether the utterance ends with the windows.
    """

    def __init__(self, order: Order, span: Span, x: Tensor, mel: Tensor, ended: bool) -> None:
        self.batch = x.shape[0]
        self._hop_length, self._first, self._mel = order.hop_length, span.first, mel
        self._last = span.last
        reflected = order.padding if span.first == 0 else 0, order.padding if ended else 0
        self._before = reflected[0]
        self._x = F.pad(x[:, None], reflected, mode="reflect")[:, 0] if any(reflected) else x

    def audio(self, first: int, last: int) -> Tensor:
        """Return the slots from `first` to before `last`, (B, T): reflected at the ends, and 0 beyond that."""
        start = (first - self._first) * self._hop_length + self._before
        stop = (last - self._first) * self._hop_length + self._before
        return _cut(self._x, start, stop)

    def target(self, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Return the mel (B, frames, n_mels) of the frames from `first` to before `last`, and which exist (frames,)."""
        start, stop = first - self._first, last - self._first
        exist = _cut(self._mel.new_ones(self._mel.shape[2]), start, stop)
        return _cut(self._mel, start, stop).transpose(1, 2), exist


def _cut(x: Tensor, start: int, stop: int) -> Tensor:
    """Return x[..., start:stop], with zeros where x has nothing."""
    before, after = max(-start, 0), max(stop - x.shape[-1], 0)
    return F.pad(x, (before, after))[..., start + before : stop + before]
