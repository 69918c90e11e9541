"""`python -m recipes acoustic-predict`: prepare a corpus of models' held-out utterances with predicted mels."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray

from recipes.acoustic.items import example_of, parted, utterances
from recipes.acoustic.model import FAMILY
from recipes.corpora.kokoro import corpus_of
from training.corpora.corpus import PrepareConfig, Recording
from training.corpora.prepare import prepare
from vocoder.checkpoint import load_model
from vocoder.config import ConfigError
from vocoder.mel.config_file import load_mel_config


@torch.inference_mode()
def predict(speech: Path, models: Sequence[Path], true_prosody: bool) -> Iterator[tuple[Path, NDArray[np.float32]]]:
    """Yield the utterances that each model held out, with its mel (n_mels, frames) by the true durations.

    Raises ConfigError if two models held out the same utterance, and CheckpointError if a directory holds no model.
    """
    done: set[Path] = set()
    for directory in models:
        trained = load_model(directory, families=FAMILY)
        for path in parted(speech, trained.provenance["folds"], trained.provenance["held"])[1]:
            if path in done:
                raise ConfigError(f"{directory} held out {path}, like another model: give only one model for each part")
            done.add(path)
            example = example_of(path, trained.mel_config)
            names = ("tokens", "style", "index", "places", "prosody")
            *seen, prosody = (torch.from_numpy(example[name])[None] for name in names)
            mels, _ = trained.model(*seen, torch.ones(seen[2].shape), prosody if true_prosody else None)
            yield path, mels[0].numpy()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("speech", type=Path, help="folder of the speech")
    parser.add_argument("models", nargs="*", type=Path, help="model directories (the recordings' own mels)")
    parser.add_argument("-o", "--output", type=Path, required=True, help="prepared folder to add the corpus to")
    parser.add_argument("--name", help="name of the corpus (default: that of the folder)")
    parser.add_argument("--mel", default="nvidia", help="preset of the mels (%(default)s)")
    parser.add_argument("--true-prosody", action="store_true", help="give the recordings' pitch, voicing and level")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    name, config = args.name or args.speech.name, PrepareConfig(load_mel_config(args.mel).sample_rate)
    with TemporaryDirectory() as folder:
        found: dict[Path, Path | None] = dict.fromkeys([] if args.models else utterances(args.speech))
        for path, mel in predict(args.speech, args.models, args.true_prosody):
            found[path] = target = Path(folder, f"{len(found)}.npy")
            np.save(target, mel)
        corpus = corpus_of(name, (Recording(path, path.name, path.parent.name, mel=at) for path, at in found.items()))
        preset = args.mel if args.models else None
        corpus = replace(corpus, use="evaluate" if corpus.unseen else "train", mel_preset=preset)
        print(prepare([corpus], args.output, config)[1])
    return 0
