"""`python -m recipes acoustic-predict`: a corpus of what models held out, with the mels that they predict of it."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from recipes.acoustic.items import Example, example_of, parted
from recipes.acoustic.model import AcousticModel, load_acoustic
from recipes.acoustic.speech import ACOUSTIC, Line, read_speech
from recipes.corpora.kokoro import ATTRIBUTION, KEPT_OUT, PLANS
from recipes.corpora.kokoro_voice import licence_text
from training.corpora.corpus import TEST_EVERY, TEST_INDEX, CorpusError
from training.corpora.manifest import Entry, read_manifest, write_manifest
from vocoder.config import ConfigError
from vocoder.mel.config_file import load_mel_config

_LICENCE = "Apache-2.0"


@dataclass(frozen=True)
class Predicted:
    """An utterance with the mel (n_mels, frames) of a model that did not train on it, None for the recording's own."""

    line: Line
    mel: NDArray[np.float32] | None


def predict(speech: Path, models: Sequence[Path], *, true_prosody: bool = False) -> Iterator[Predicted]:
    """Yield the utterances that each model held out, with its mel by the true durations.

    Without models all are yielded, without a mel. Raises ConfigError if two models held out the same utterance, or a
    directory holds no model.
    """
    lines = read_speech(speech)
    if not models:
        yield from (Predicted(line, None) for line in lines)
    done: set[str] = set()
    for directory in models:
        model, settings = load_acoustic(directory)
        mel_config = load_mel_config(str(settings["mel"]))
        for line in parted(lines, int(str(settings["folds"])), int(str(settings["held"])))[1]:
            if line.path in done:
                raise ConfigError(f"{directory} held out {line.path}, as another model did: give one for each part")
            done.add(line.path)
            yield Predicted(line, predicted_mel(model, example_of(line, speech, mel_config), true_prosody))


@torch.inference_mode()
def predicted_mel(model: AcousticModel, example: Example, true_prosody: bool = False) -> NDArray[np.float32]:
    """Return the mel (n_mels, frames) that a model predicts, frame for frame as long as the recording's."""
    tokens, style, index, places, prosody = (
        torch.from_numpy(values)[None]
        for values in (example.tokens, example.style, example.index, example.places, example.prosody)
    )
    mask = torch.ones(index.shape)
    mel, _ = model(tokens, style, index, places, mask, prosody if true_prosody else None)
    values: NDArray[np.float32] = mel[0].numpy()
    return values


def join(found: Iterator[Predicted], speech: Path, output: Path, plan: str, name: str, mel_preset: str) -> Path:
    """Put utterances of a speech folder into a folder as a corpus beside those already there, and return its manifest.

    Every 40th utterance is held out; all of the evaluation voice, which is marked as for evaluation alone. Raises
    CorpusError if there is no utterance, or the speech is of another plan.
    """
    output.mkdir(parents=True, exist_ok=True)
    entries = [_entry(number, item, speech, output, plan, name, mel_preset) for number, item in enumerate(found)]
    if not entries:
        raise CorpusError(f"{speech} has no utterance that the models held out")
    manifest = output / "manifest.jsonl"
    others = read_manifest(output).entries if manifest.is_file() else ()
    write_manifest(manifest, (*(entry for entry in others if entry.corpus != name), *entries))
    _describe(output, name, speech, PLANS[plan].kept_out, mel_preset)
    return manifest


def _entry(number: int, item: Predicted, speech: Path, output: Path, plan: str, name: str, mel_preset: str) -> Entry:
    line, evaluation = item.line, PLANS[plan].kept_out
    if (line.speaker == f"kokoro-{KEPT_OUT}") != evaluation:
        raise CorpusError(f"{speech} holds {line.speaker}, who does not belong to the plan {plan!r}")
    relative = Path(line.speaker) / Path(line.path).name
    audio, mel = Path("audio") / name / relative, (Path("mels") / name / relative).with_suffix(".npy")
    (output / audio).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(speech / line.path, output / audio)
    if item.mel is not None:
        (output / mel).parent.mkdir(parents=True, exist_ok=True)
        np.save(output / mel, item.mel)
    return Entry(
        path=audio.as_posix(),
        corpus=name,
        speaker=line.speaker,
        split="test" if evaluation or number % TEST_EVERY == TEST_INDEX else "train",
        duration=line.seconds,
        sample_rate=load_mel_config(mel_preset).sample_rate,
        licence=_LICENCE,
        bandwidth=line.bandwidth,
        use="evaluate" if evaluation else "train",
        synthetic=True,
        mel=None if item.mel is None else mel.as_posix(),
        mel_preset=None if item.mel is None else mel_preset,
    )


def _describe(output: Path, name: str, speech: Path, evaluation: bool, mel_preset: str) -> None:
    """Add the corpus to dataset.json, which provenance reads."""
    path = output / "dataset.json"
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"settings": {}, "corpora": {}}
    text = licence_text()
    description = {
        "source": speech.name, "licence": _LICENCE, "attribution": ATTRIBUTION, "unseen": evaluation,
        "use": "evaluate" if evaluation else "train", "synthetic": True, "mel_preset": mel_preset,
    }  # fmt: skip
    if text:
        licence = output / "licences" / f"{name}.txt"
        licence.parent.mkdir(exist_ok=True)
        licence.write_text(text, encoding="utf-8")
        description["licence_text"] = f"licences/{name}.txt"
    record["corpora"][name] = description
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("speech", type=Path, help="folder of the speech")
    parser.add_argument("models", nargs="*", type=Path, help="model directories; the recordings' own mels without any")
    parser.add_argument("-o", "--output", type=Path, required=True, help="prepared folder that the corpus is added to")
    parser.add_argument("--plan", choices=ACOUSTIC, required=True, help="of the speech")
    parser.add_argument("--name", help="of the corpus (the plan's)")
    parser.add_argument("--mel", default="nvidia", help="preset of the mels (%(default)s)")
    parser.add_argument("--true-prosody", action="store_true", help="give the recordings' pitch, voicing and level")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    found = predict(args.speech, args.models, true_prosody=args.true_prosody)
    name = args.name or f"acoustic-{args.plan}"
    print(join(found, args.speech, args.output, args.plan, name, args.mel))
    return 0
