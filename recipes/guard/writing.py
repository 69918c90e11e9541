"""Mels of recordings in every layout and encoding, some of them as acoustic models might predict them."""

import dataclasses
import functools
import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recipes.guard.recordings import at_rate
from recipes.guard.variation import VariationConfig, like_predicted
from vocoder.audio.resampling import resample
from vocoder.layers.recogniser import ConventionConfig
from vocoder.mel.config import MelConfig
from vocoder.mel.conventions import LN10, NATURAL, NOT_SPEECH, PLAIN, SHUFFLED, TORTOISE, VARIATIONS, encodings, layouts
from vocoder.mel.convert import encode, plain
from vocoder.mel.spectrogram import MelSpectrogram

LEAST = 1e-12
"""floor of energies"""
_DECIMAL = ("espnet", "espnet-24k", "r9y9", "speecht5")
OWN = {**dict.fromkeys(_DECIMAL, "log10"), "tacotron2-tf": "symmetric", "clarinet": "unit"}
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
_STEPS = 1500.0  # fixed-point steps per nat
_OFFSET = 28.0 - 31768 / _STEPS
_FRAMES = 192  # frames kept per recording


@torch.inference_mode()
def energies(x: np.ndarray, sample_rate: int, names: Sequence[str], rng: np.random.Generator) -> dict[str, Tensor]:
    """Return the natural-log energies (n_mels, frames) of an utterance x (T,) in each of the named layouts.

    Layouts for which the utterance is too short are left out. Hops and rates are drawn among equivalent ones.
    """
    dtype = torch.float64 if rng.random() < 0.3 else torch.float32
    configs = {name: _chosen(name, rng) for name in names}
    rates = {config.sample_rate for config in configs.values()}
    resampled = at_rate if rng.random() < 0.5 else resample  # the two differ near the band edge
    audio = {rate: torch.from_numpy(resampled(x, sample_rate, rate)).to(dtype) for rate in rates}
    return {
        name: _spectrogram(config)(audio[config.sample_rate][None])[0].float()
        for name, config in configs.items()
        if len(audio[config.sample_rate]) > config.padding
    }


@functools.cache
def _spectrogram(config: MelConfig) -> MelSpectrogram:
    return MelSpectrogram(dataclasses.replace(config, floor=LEAST), precise=False)


def _chosen(name: str, rng: np.random.Generator) -> MelConfig:
    """Return a layout's mel config, in half of the cases with a similar hop or rate."""
    layout = layouts()[name]
    if not layout.near or rng.random() < 0.5:
        return layout.mel_config
    changed = {"hop_length" if layout.cause == "hop" else "sample_rate": int(rng.choice(layout.near))}
    return dataclasses.replace(layout.mel_config, **changed)  # type: ignore[arg-type]


class Material:
    """Natural-log band energies of recordings (T,), each with its corpus, as 16-bit integers.

    They are in the layouts `names`, the first of which is that of true mels; `use` is for progress messages.
    """

    def __init__(
        self, recordings: Iterable[tuple[np.ndarray, str]], names: Sequence[str], sample_rate: int, seed: int, use: str
    ) -> None:
        self.true = names[0]
        self.corpora: list[str] = []
        self._mels: list[dict[str, Tensor]] = []
        rng = np.random.default_rng(seed)
        for x, corpus in recordings:
            found = energies(x, sample_rate, names, rng)
            steps = {name: ((mel[:, :_FRAMES] + _OFFSET) * _STEPS).round() for name, mel in found.items()}
            self._mels.append({name: mel.clamp(-32768, 32767).to(torch.int16) for name, mel in steps.items()})
            self.corpora.append(corpus)
            if len(self) % 500 == 0:
                print(f"{use} {len(self)} recordings", flush=True)

    def __len__(self) -> int:
        return len(self._mels)

    def mels(self, indices: Iterable[int], layout: str) -> list[Tensor]:
        """Return the natural-log energies (n_mels, frames) of recordings that are long enough for a layout."""
        return [self._mels[i][layout].float() / _STEPS - _OFFSET for i in indices if layout in self._mels[i]]

    def true_mels(self) -> list[Tensor]:
        """Return the true natural-log mels of recordings, with floor, except those that are too short."""
        return [mel.clamp_min(layouts()[self.true].floor) for mel in self.mels(range(len(self)), self.true)]


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
