"""Datasets of random segments of a corpus, for training and for its held-out split."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from training.corpora.manifest import Manifest, Split
from training.data.augment import AugmentConfig, augmented, between
from training.data.rational_resampling import crop, rate_grid, resampled_length
from training.data.stores import AudioStore, MelStore, PitchStore, speeds_for
from vocoder.config import Checked, NotNegativeInt, Range, Rules
from vocoder.mel.config import MelConfig

_AUGMENTATION, _MAKING = 1, 2  # numbers of random streams besides that of the choices


@dataclass(frozen=True)
class SegmentConfig(Checked):
    """How segments are cut and varied."""

    segment_length: int = 16384
    """Samples, a multiple of hop_length."""
    hop_length: int = 256
    margin: int = 512
    """Samples added on both sides, so that mel frames at the ends are whole: n_fft // 2 for a centred mel."""
    seed: NotNegativeInt = 0
    balance: Annotated[float, (-100, 100)] = 0.5
    """Speakers are drawn in proportion to duration ** balance: 1 as recorded, 0 uniformly."""
    epoch_length: NotNegativeInt = 0
    """Items in an epoch; 0 for as many as cover the split's duration."""
    gain_db: Annotated[Range, (-60, 60)] = (0.0, 0.0)
    """Range of a uniform random gain in decibels; limited so that the segment's peak stays within 0.99."""
    rates: Range = (1.0, 1.0)
    """Range of a random playing speed, which moves pitch and formants too; multiples of 1/40 are drawn."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Further augmentation."""

    def _rules(self) -> Rules:
        length, hop_length, margin = self.segment_length, self.hop_length, self.margin
        whole = length > 0 and hop_length > 0 and length % hop_length == 0
        yield whole, f"segment_length {length} must be a multiple of hop_length {hop_length}"
        yield 0 <= margin < length, f"margin must be from 0 to below segment_length, not {margin}"
        rate_grid(self.rates)


class SegmentDataset:
    """Random segments of a split; item `index` of an epoch is a pure function of (seed, epoch, index).

    There are none of voices without training data, which are kept for the final evaluation.

    An item holds x (margin + segment_length + margin,) float32, the number of its `speaker` and the edge of the `band`
    in Hz; where any recording of the split came with a mel, `mel` (n_mels, segment_length / hop_length) and whether it
    `has_mel`; where pitch labels are wanted, `f0` (segment_length / hop_length,) in Hz, 0 where a frame is unvoiced.

    A segment starts at a multiple of hop_length and carries `margin` real samples on both sides, reflected at the ends
    of the utterance, so that its mel frames are those of the whole utterance. An utterance shorter than a segment is
    first padded with zeros at its end.

    A recording that came with a mel is cut together with it and not augmented, because the mel would no longer match.

    With `mel_config`, mels that come with recordings are used, converted to it. With `pitch`, items have pitch labels,
    which are computed if missing. Raises ManifestError if nothing is left, audio cannot be read, or a mel does
    not fit its audio or the mel config.
    """

    def __init__(
        self,
        manifest: Manifest,
        split: Split,
        config: SegmentConfig,
        mel_config: MelConfig | None = None,
        pitch: bool = False,
    ) -> None:
        entries = manifest.select(split, unseen=False)
        self.config = config
        self.sample_rate = manifest.sample_rate
        self._store = AudioStore(manifest, entries)
        names = manifest.speakers
        self._speakers = np.array([names.index(entry.speaker) for entry in entries])
        self._bands = [entry.band_edge for entry in entries]
        lengths = self._store.lengths
        totals = np.bincount(self._speakers, weights=lengths)[self._speakers]  # of each utterance's speaker
        self._cumulative = np.cumsum(lengths / totals * totals**config.balance)
        self._rates = rate_grid(config.rates)
        self._mels = None
        if mel_config is not None and any(entry.mel is not None for entry in entries):
            self._mels = MelStore(manifest, entries, list(self._store.lengths), mel_config)
        self._pitch = PitchStore(manifest, entries, speeds_for(*config.rates)) if pitch else None

    def __len__(self) -> int:
        covering = -(-int(self._store.lengths.sum()) // self.config.segment_length)
        return self.config.epoch_length or covering

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        rng = np.random.default_rng((self.config.seed, *key))
        # Always four draws in this order, so that switching on an augmentation does not change the other choices.
        choice, speed, place, gain = rng.random(4)
        utterance = int(np.searchsorted(self._cumulative, choice * self._cumulative[-1], side="right"))
        delay = None if self._mels is None else self._mels.delay(utterance)
        rate = self._rates[int(speed * len(self._rates))] if delay is None else Fraction(1)
        x, start = self._cut(utterance, rate, place, delay or 0)
        band = min(self._bands[utterance] * float(rate), self.sample_rate / 2)
        augment = self.config.augment
        if delay is None and any((augment.equaliser_db, augment.low_pass, augment.noise, augment.reverberation)):
            own = np.random.default_rng((self.config.seed, *key, _AUGMENTATION))
            x, band = augmented(x, band, self.sample_rate, augment, own)
        if delay is None and any(self.config.gain_db):
            peak, wanted = float(np.abs(x).max()), 10 ** (between(self.config.gain_db, gain) / 20)
            x *= np.float32(min(wanted, 0.99 / peak if peak > 0 else math.inf))
        hop, frames, speed = self.config.hop_length, self.config.segment_length // self.config.hop_length, float(rate)
        item: dict[str, Any] = {"x": torch.from_numpy(x), "speaker": int(self._speakers[utterance])}
        item["band"] = np.float32(band)
        if self._pitch is not None:
            first = (delay or 0) + start * speed
            item["f0"] = torch.from_numpy(self._pitch.read(utterance, first, hop * speed, frames, speed))
        if self._mels is not None:  # the same keys in every item of a batch
            item["mel"] = torch.from_numpy(self._mels.read(utterance, start // hop, frames))
            item["has_mel"] = delay is not None
        return item

    def _cut(self, utterance: int, rate: Fraction, place: float, skipped: int) -> tuple[np.ndarray, int]:
        """Return samples with margins, and the segment's start in the utterance, counted after `skipped` samples."""
        config = self.config
        length = resampled_length(int(self._store.lengths[utterance]) - skipped, rate)
        padded = max(length, config.segment_length)
        start = int(place * ((padded - config.segment_length) // config.hop_length + 1)) * config.hop_length
        first, last = start - config.margin, start + config.segment_length + config.margin
        inside = max(first, 0), min(last, padded)

        def read(a: int, b: int) -> np.ndarray:
            return self._store.read(utterance, a + skipped, b + skipped)

        x = crop(read, rate, inside[0], min(inside[1], length))
        x = np.pad(x, (0, inside[1] - inside[0] - len(x)))
        return np.pad(x, (inside[0] - first, last - inside[1]), mode="reflect"), start


class MappedSegments:
    """Items computed by `make(x, rng)` from the audio of segments (margin + segment_length + margin,).

    Each is a pure function of (seed, epoch, index).
    """

    def __init__(
        self, segments: SegmentDataset, make: Callable[[Tensor, np.random.Generator], dict[str, Tensor]]
    ) -> None:
        self.segments, self.make = segments, make

    def __len__(self) -> int:
        return len(self.segments)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        rng = np.random.default_rng((self.segments.config.seed, *key, _MAKING))
        return self.make(self.segments[key]["x"], rng)


def segments_of(
    manifest: Manifest, config: SegmentConfig, held_out: int, mel_config: MelConfig | None = None, pitch: bool = False
) -> SegmentDataset:
    """Return the segments of the training split, or `held_out` of the test split, cut alike but not augmented."""
    if not held_out:
        return SegmentDataset(manifest, "train", config, mel_config, pitch)
    plain = SegmentConfig(config.segment_length, config.hop_length, config.margin, epoch_length=held_out)
    return SegmentDataset(manifest, "test", plain, mel_config, pitch)
