"""Training items from speech with exact durations: the phoneme of each frame, and items of equal size."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from librosa.util import fix_length
from numpy.typing import NDArray

from recipes.corpora.kokoro_voice import SAMPLE_RATE, UNIT, Speech
from training.corpora.condition import condition
from training.corpora.corpus import PrepareConfig
from vocoder.config import ConfigError
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import mel_of

PLACES = 4
"""numbers that describe a frame's position in its token"""
VOICED = 50.0
"""Hz; Kokoro's pitch is lower in and next to unvoiced parts"""
_REFERENCE = 200.0
_ENERGY_CENTRE, _ENERGY_SCALE = -5.0, 2.0
Example: TypeAlias = dict[str, NDArray[Any]]


def tokens_of_frames(durations: NDArray[np.int64], frames: int, mel_config: MelConfig) -> NDArray[np.int64]:
    """Return the index of the token (frames,) that each frame's centre falls into; the last one past the end.

    Frame i of a centred mel stands on sample i * hop_length; a token ends with its last unit of 600 samples at 24 kHz.
    """
    # Both sides in seconds times both sample rates: whole numbers, so that nothing is ever rounded.
    ends = np.cumsum(durations) * UNIT * mel_config.sample_rate
    centres = np.arange(frames, dtype=np.int64) * mel_config.hop_length * SAMPLE_RATE
    return np.minimum(np.searchsorted(ends, centres, side="right"), len(durations) - 1)


def places(tokens: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return (4, frames): the share of its token before a frame, tenths of frames from its start and to its end, and
    the logarithm of the token's frames over 5, of `tokens_of_frames`.
    """
    counts = np.bincount(tokens)
    starts = np.cumsum(counts) - counts
    since = np.arange(len(tokens)) - starts[tokens]
    length = counts[tokens]
    rows = [(since + 0.5) / length, since / 10, (length - 1 - since) / 10, np.log(length / 5)]
    return np.stack(rows).astype(np.float32)


def token_prosody(
    pitch: NDArray[np.floating], durations: NDArray[np.int64], mel: NDArray[np.float32], tokens: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return (3, N): each token's mean pitch in octaves from 200 Hz, voiced share and mean level of the mel, scaled.

    The pitch (2 * sum(durations),) is in Hz, unvoiced below 50, and 0 for a token without voiced frames; the mel
    (n_mels, frames) is in nats; tokens (frames,) are those of its frames.
    """
    owner = np.repeat(np.arange(len(durations)), 2 * durations)
    voiced = pitch > VOICED
    share = mean_by_token(voiced.astype(np.float64), owner, len(durations))
    octaves = np.where(voiced, np.log2(np.maximum(pitch, 1.0) / _REFERENCE), 0.0)
    height = mean_by_token(octaves, owner, len(durations)) / np.maximum(share, 1e-9)
    level = mean_by_token((mel.mean(axis=0) - _ENERGY_CENTRE) / _ENERGY_SCALE, tokens, len(durations))
    return np.stack([height, share, level]).astype(np.float32)


def mean_by_token(values: NDArray[np.floating], owner: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return the mean (count,) of each token's values (T,), given as `owner` (T,); 0 for tokens without any."""
    total = np.bincount(owner, weights=values, minlength=count)
    return total / np.maximum(np.bincount(owner, minlength=count), 1)


def example_of(path: Path, mel_config: MelConfig) -> Example:
    """Read an utterance of `Speech.save` and compute its mel, at the level of all corpora.

    Returns it as the model sees it: `tokens` (N,), `style` (256,), `prosody` (3, N), and of the frames their tokens'
    `index` (frames,), `places` (4, frames) and `mel` (n_mels, frames).
    """
    speech = Speech.load(path)
    x = condition(speech.x, SAMPLE_RATE, PrepareConfig(mel_config.sample_rate))
    mel = mel_of(x, mel_config)
    index = tokens_of_frames(speech.durations, mel.shape[1], mel_config)
    prosody = token_prosody(speech.pitch, speech.durations, mel, index)
    whole: Example = {"tokens": speech.tokens, "style": speech.style, "prosody": prosody}
    return whole | {"index": index, "places": places(index), "mel": mel}


def parted(folder: Path, folds: int, held: int) -> tuple[list[Path], list[Path]]:
    """Return the utterances of a folder to train on and those held out: every `folds`-th one, from number `held` on.

    Raises ConfigError if there is no such part, or one of the two is empty.
    """
    if folds < 2 or not 0 <= held < folds:
        raise ConfigError(f"folds must be at least 2 and held from 0 to below folds, not {folds} and {held}")
    paths = utterances(folder)
    aside = paths[held::folds]
    kept = [path for path in paths if path not in aside]
    if not kept or not aside:
        raise ConfigError(f"{len(paths)} utterances are too few to hold out every {folds}th from number {held} on")
    return kept, aside


def utterances(folder: Path) -> list[Path]:
    """Return the audio files SPEAKER/NAME.flac in a folder of speech, in the order of their plan."""
    return sorted(folder.glob("*/*.flac"), key=lambda path: path.name)


class SpeechItems:
    """Items of `frames` frames; the place of each is a pure function of (seed, epoch, index).

    An item holds tokens (N,), style (256,), prosody (3, N), and for the frames index (frames,), places (4, frames), mel
    (n_mels, frames) and mask (frames,). N is that of the longest utterance; `padding` fills the others.
    """

    def __init__(self, examples: Sequence[Example], frames: int, padding: int, seed: int) -> None:
        self.examples, self.frames, self.padding, self.seed = examples, frames, padding, seed
        self._longest = max(len(example["tokens"]) for example in examples)

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, torch.Tensor]:
        example = self.examples[key[1]]
        total = example["mel"].shape[1]
        start = int(np.random.default_rng((self.seed, *key)).random() * (max(total - self.frames, 0) + 1))
        cut = {name: example[name][..., start:] for name in ("index", "places", "mel")}
        cut["mask"] = np.ones(total - start, np.float32)
        item = {name: fix_length(values, size=self.frames) for name, values in cut.items()}
        item["tokens"] = fix_length(example["tokens"], size=self._longest, constant_values=self.padding)
        item |= {"style": example["style"], "prosody": fix_length(example["prosody"], size=self._longest)}
        return {name: torch.from_numpy(values) for name, values in item.items()}
