"""Speech with durations as training items of one size: all phonemes of an utterance, and some of its frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray

from recipes.acoustic.alignment import places, token_prosody, tokens_of_frames
from recipes.acoustic.speech import Line
from training.evaluate.candidates import mel_of
from vocoder.config import ConfigError
from vocoder.mel.config import MelConfig


@dataclass(frozen=True)
class Example:
    """An utterance as the model sees it, all of it.

    Attributes:
        tokens: (N,).
        style: (256,).
        index: (frames,) of each frame's token.
        places: (4, frames).
        mel: (n_mels, frames) of the recording.
        prosody: (3, N) of the recording.
    """

    tokens: NDArray[np.int64]
    style: NDArray[np.float32]
    index: NDArray[np.int64]
    places: NDArray[np.float32]
    mel: NDArray[np.float32]
    prosody: NDArray[np.float32]


def example_of(line: Line, folder: Path, mel_config: MelConfig) -> Example:
    """Read an utterance and compute its mel.

    Raises:
        ConfigError: the audio is not as long, or not at the rate, that the line and the mel say.
    """
    x, rate = soundfile.read(folder / line.path, dtype="float32")
    if len(x) != line.samples or rate != mel_config.sample_rate:
        raise ConfigError(
            f"{line.path} must have {line.samples} samples at {mel_config.sample_rate} Hz, not {len(x)} at {rate}"
        )
    mel = mel_of(x, mel_config)
    durations = np.array(line.durations)
    index = tokens_of_frames(durations, mel.shape[1], mel_config)
    prosody = token_prosody(np.array(line.pitch), durations, mel, index)
    return Example(np.array(line.tokens), np.array(line.style, np.float32), index, places(index), mel, prosody)


def parted(lines: Sequence[Line], folds: int, held: int) -> tuple[list[Line], list[Line]]:
    """Return the lines to train on and those held out: every `folds`-th one, from number `held` on.

    Raises:
        ConfigError: there is no such part, or one of the two is empty.
    """
    if folds < 2 or not 0 <= held < folds:
        raise ConfigError(f"folds must be at least 2 and held from 0 to below folds, not {folds} and {held}")
    kept = [line for number, line in enumerate(lines) if number % folds != held]
    aside = [line for number, line in enumerate(lines) if number % folds == held]
    if not kept or not aside:
        raise ConfigError(f"{len(lines)} utterances are too few to hold out every {folds}th from number {held} on")
    return kept, aside


class SpeechItems:
    """Items of `frames` frames; the place of each is a pure function of (seed, epoch, index).

    An item holds tokens (N,), style (256,), prosody (3, N), and for the frames index (frames,), places (4, frames), mel
    (n_mels, frames) and mask (frames,). N is that of the longest utterance; `padding` fills the others.
    """

    def __init__(self, examples: Sequence[Example], frames: int, padding: int, seed: int) -> None:
        self.examples = examples
        self.frames = frames
        self.padding = padding
        self.seed = seed
        self._longest = max(len(example.tokens) for example in examples)
        self._epoch = 0

    def __len__(self) -> int:
        return len(self.examples)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the following items belong to."""
        self._epoch = epoch

    def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
        example = self.examples[number]
        total = example.mel.shape[1]
        place = np.random.default_rng((self.seed, self._epoch, number)).random()
        start = int(place * (max(total - self.frames, 0) + 1))
        taken = slice(start, start + self.frames)
        missing = self.frames - len(example.index[taken])
        spare = self._longest - len(example.tokens)
        item = {
            "tokens": np.pad(example.tokens, (0, spare), constant_values=self.padding),
            "style": example.style,
            "prosody": np.pad(example.prosody, ((0, 0), (0, spare))),
            "index": np.pad(example.index[taken], (0, missing)),
            "places": np.pad(example.places[:, taken], ((0, 0), (0, missing))),
            "mel": np.pad(example.mel[:, taken], ((0, 0), (0, missing))),
            "mask": np.pad(np.ones(self.frames - missing, np.float32), (0, missing)),
        }
        return {name: torch.from_numpy(values) for name, values in item.items()}
