"""Writes mels in any layout and encoding, some of them as acoustic models might predict them."""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recipes.guard.material import LEAST, Material
from recipes.guard.variation import VariationConfig, like_predicted
from vocoder.layers.recogniser import ConventionConfig
from vocoder.mel.config import MelConfig
from vocoder.mel.conventions import LN10, NATURAL, NOT_SPEECH, PLAIN, SHUFFLED, TORTOISE, VARIATIONS, encodings, layouts
from vocoder.mel.convert import encode, plain

OWN = {"espnet": "log10", "r9y9": "log10", "speecht5": "log10", "tacotron2-tf": "symmetric", "clarinet": "unit"}
"""own encodings of layouts; the others use natural logarithms"""
_USUAL = ("statistics", "statistics", "ln", "log10", "db20", "db10", "unit", "symmetric")
_LOWEST_FLOOR = 1e-10
_OTHER_FLOORS = (1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-10)
_GROUPS = 24  # groups of recordings whose statistics normalise mels
_OF_A_GROUP = 40
_LENGTHS = (32, 48, 64, 96, 128, 160, 192)
_SHORTEST = 16
_OWN, _ROUGH = 0.55, 0.35  # shares of mels in their layout's own encoding, and resembling an acoustic model's
_AGAIN = 2  # additional true mels per recording, which are rough twice as often
_PADDED = 0.15  # share of mels with silence after their end, as in batches
_NOTHING = math.log(LEAST)


class Writer:
    """Writes recordings in all layouts, in randomly drawn encodings."""

    def __init__(self, material: Material, config: ConventionConfig, variation: VariationConfig, seed: int) -> None:
        self._material, self._config, self._variation = material, config, variation
        self._rng = np.random.default_rng(seed)
        self._statistics: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}

    def examples(self, index: int) -> Iterator[tuple[Tensor, int, int]]:
        """Yield the mel (n_mels, frames) of a recording in every layout, with the indices of layout and encoding."""
        length = int(self._rng.choice(_LENGTHS))
        true = self._config.layouts[0]
        for position, name in enumerate((*self._config.layouts, *[true] * _AGAIN)):
            layout = true if name in (SHUFFLED, NOT_SPEECH) else name
            if not (mels := self._material.mels([index], layout)):
                continue
            encoding = OWN.get(name, PLAIN) if self._rng.random() < _OWN else self._other(layout)
            more = name == true and position >= len(self._config.layouts)
            mel = self._mel(mels[0], name, layout, encoding, length, 2.0 * _ROUGH if more else _ROUGH)
            if mel is not None:
                yield mel, self._config.layouts.index(name), self._config.encodings.index(encoding)

    def _other(self, layout: str) -> str:
        """Draw an encoding: any for true bands, mostly the usual ones for others."""
        power = layouts()[layout].mel_config.power != 1.0  # normalised power mels nearly equal magnitude mels
        usual = [name for name in _USUAL if name in self._config.encodings and not (power and name == "statistics")]
        mostly = usual and layout != self._config.layouts[0] and self._rng.random() < 0.85
        return str(self._rng.choice(usual if mostly else self._config.encodings))

    def _mel(self, whole: Tensor, name: str, layout: str, encoding: str, length: int, rough: float) -> Tensor | None:
        length = max(length, len(whole)) if encoding == "transposed" else length
        start = int(self._rng.integers(0, max(1, whole.shape[1] - length + 1)))
        mel = whole[:, start : start + length]
        if self._rng.random() < _PADDED:
            mel = F.pad(mel, (0, int(self._rng.integers(1, max(2, length // 2)))), value=_NOTHING)
        if mel.shape[1] < _SHORTEST or (encoding == "transposed" and mel.shape[1] < len(mel)):
            return None
        if name in (SHUFFLED, NOT_SPEECH):
            mel = self._in_disorder(mel, name)
        if self._rng.random() < rough:
            floor = self._rng.choice(_floors(layouts()[layout].mel_config))
            generator = torch.Generator().manual_seed(int(self._rng.integers(2**31)))
            kind = str(self._rng.choice(VARIATIONS))
            mel = like_predicted(mel.clamp_min(math.log(floor)), kind, self._variation, generator)
        statistics = self._normalising(whole, layout) if encoding == "statistics" else None
        return written(mel, encoding, layouts()[layout].mel_config, statistics, self._rng)

    def _in_disorder(self, mel: Tensor, name: str) -> Tensor:
        """Return a mel with shuffled frames; for NOT_SPEECH with shuffled bands, bands per frame, or values."""
        kind = self._rng.random() if name == NOT_SPEECH else 1.0
        if kind < 0.2:
            return mel.flatten()[torch.from_numpy(self._rng.permutation(mel.numel()))].view_as(mel)
        if kind < 0.4:
            return torch.from_numpy(self._rng.permuted(mel.numpy(), axis=0))
        axis = 1 if name == SHUFFLED else 0
        return mel.index_select(axis, torch.from_numpy(self._rng.permutation(mel.shape[axis])))

    def _normalising(self, mel: Tensor, layout: str) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation (n_mels, 1) of a group of recordings, or of the recording itself."""
        if self._rng.random() < 0.25:
            return _moments([mel], layout)
        group = int(self._rng.integers(_GROUPS))
        if (layout, group) not in self._statistics:
            rng = np.random.default_rng(group)
            corpora = np.array(self._material.corpora)
            alike = corpora == corpora[rng.integers(len(corpora))] if group % 3 else np.full(len(corpora), True)
            members = rng.permutation(np.flatnonzero(alike))[:_OF_A_GROUP]
            self._statistics[layout, group] = _moments(self._material.mels(members, layout), layout)
        return self._statistics[layout, group]


def _floors(config: MelConfig) -> tuple[float, float, float]:
    """Return floors to choose from: the mel config's (1e-5 for powers) twice, and the lowest."""
    floor = config.floor if config.power == 1.0 else 1e-5
    return floor, floor, _LOWEST_FLOOR


def _moments(mels: Sequence[Tensor], layout: str) -> tuple[Tensor, Tensor]:
    frames = torch.cat(list(mels), dim=1).clamp_min(math.log(_floors(layouts()[layout].mel_config)[0]))
    return frames.mean(dim=1, keepdim=True), frames.std(dim=1, keepdim=True) + 1e-3


def written(
    mel: Tensor, encoding: str, config: MelConfig, statistics: tuple[Tensor, Tensor] | None, rng: np.random.Generator
) -> Tensor:
    """Return a natural-log mel (n_mels, frames) in an encoding, with a commonly used floor.

    Its energies were computed with a mel config, without a floor. `statistics` are mean and deviation (n_mels, 1).
    """
    floors = _floors(config)
    usual = math.log(floors[0] if config.power == 1.0 else rng.choice(floors[1:]))
    floor = usual if rng.random() < 0.85 else math.log(rng.choice(_OTHER_FLOORS))
    drawn, fields = math.log(float(rng.choice(floors))), encodings()[encoding].fields
    if fields:  # an encoding of mel configs; mels that are mapped to a range have its floor
        least = math.log(1e-4 if config.power == 2.0 else 1e-5) if "range_db" in fields else drawn
        return encode(mel.clamp_min(least), dataclasses.replace(plain(config), **NATURAL | fields))
    if encoding == "db-loudest":
        scaled = float(rng.choice((10.0, 20.0))) / LN10 * mel
        return (scaled - scaled.max()).clamp_min(-float(rng.choice((80.0, 80.0, 100.0))))
    if encoding == "tortoise":
        low, high = TORTOISE
        return 2.0 * (mel.clamp_min(low) - low) / (high - low) - 1.0
    if encoding == "statistics" and statistics is not None:
        return (mel.clamp_min(math.log(float(rng.choice(floors)))) - statistics[0]) / statistics[1]
    if encoding == "linear":
        return mel.exp()
    mel = mel.clamp_min(floor)
    if encoding == "negated":
        return -mel
    if encoding == "flipped":
        return mel.flip(0)
    return mel[:, : len(mel)].T if encoding == "transposed" else mel
