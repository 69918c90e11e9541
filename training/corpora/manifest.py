"""The manifest of a prepared corpus: one JSON object per line, one line per utterance."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from vocoder.config import Checked, Count, Positive, Rules, from_dict, to_dict
from vocoder.files import complete
from vocoder.mel.config import MelConfig

Split = Literal["train", "test"]
Use = Literal["train", "evaluate"]


class ManifestError(ValueError):
    """A manifest cannot be read, or one of its lines is wrong."""


@dataclass(frozen=True)
class Entry(Checked):
    """One utterance of a prepared corpus."""

    path: str
    """The audio file, relative to the manifest's folder, with forward slashes."""
    corpus: str
    speaker: str
    split: Split
    duration: Positive
    """Seconds."""
    sample_rate: Count
    """Hertz."""
    licence: str
    bandwidth: float | None = None
    """Hertz above which the recording was practically empty; None if not measured."""
    use: Use = "train"
    """`evaluate` if the licence would extend to the weights: such recordings are never trained on."""
    synthetic: bool = False
    """True for speech made by a text-to-speech model."""
    mel: str | None = None
    """An npy file (n_mels, frames), relative to the manifest's folder, that replaces the recording's own mel, such as
    an acoustic model's prediction."""
    mel_preset: str | MelConfig | None = None
    """The mel preset, or the contents of a mel config file, that `mel` was made with; None for the model's own."""

    @property
    def band_edge(self) -> float:
        """The bandwidth in hertz, or half the sample rate if unknown."""
        return self.sample_rate / 2 if self.bandwidth is None else self.bandwidth

    def _rules(self) -> Rules:
        for name, value in (("path", self.path), ("mel", "mel.npy" if self.mel is None else self.mel)):
            path = PurePosixPath(value)
            inside = value != "" and not path.is_absolute() and ".." not in path.parts
            yield inside, f"{name} must be relative and stay inside the manifest's folder, not {value!r}"
        most = self.sample_rate / 2
        yield 0 < self.band_edge <= most, f"bandwidth must be above 0 and at most {most:g}, not {self.bandwidth}"
        yield bool(self.corpus and self.speaker), "corpus and speaker must not be empty"


@dataclass(frozen=True)
class Manifest:
    """The entries of a prepared corpus, and the folder to which their paths are relative."""

    root: Path
    entries: tuple[Entry, ...]

    @property
    def sample_rate(self) -> int:
        """The common sample rate of all entries, in hertz."""
        return self.entries[0].sample_rate

    @property
    def speakers(self) -> tuple[str, ...]:
        """All speakers in alphabetical order; a speaker's index here is its number in training."""
        return tuple(sorted({entry.speaker for entry in self.entries}))

    @property
    def trained_speakers(self) -> tuple[str, ...]:
        """The speakers with training data; the others are unseen voices, kept for evaluation."""
        return tuple(sorted({entry.speaker for entry in self.entries if entry.split == "train"}))

    def select(self, split: Split, unseen: bool = True) -> tuple[Entry, ...]:
        """Return the entries of a split, with those of `unseen` voices or without.

        Raises ManifestError if there are none, or evaluation-only data would be trained on.
        """
        speakers = self.speakers if unseen else self.trained_speakers
        chosen = tuple(e for e in self.entries if e.split == split and (unseen or e.speaker in speakers))
        if not chosen:
            raise ManifestError(f"no {split} utterance in {self.root} for {', '.join(speakers or self.speakers)}")
        refused = sorted({f"{e.corpus} ({e.licence})" for e in chosen if split == "train" and e.use == "evaluate"})
        if refused:
            raise ManifestError(
                f"{', '.join(refused)} in {self.root} is for evaluation only: weights trained on it would have to "
                "carry its licence. Leave it out, or prepare it again, which puts all of it into the test split"
            )
        return chosen


def read_manifest(path: Path | str, check_files: bool = True) -> Manifest:
    """Read a manifest from a JSONL file, or from `manifest.jsonl` in a folder.

    Raises ManifestError if the file is missing or empty, has a wrong line, repeats a path, mixes sample rates, or, with
    `check_files`, lists a missing file.
    """
    path = Path(path)
    path = path / "manifest.jsonl" if path.is_dir() else path
    if not path.is_file():
        raise ManifestError(f"no manifest at {path}; `vocoder-train prepare` writes one")
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # not at other line breaks, which JSON may hold
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path} is not a manifest: it is not text in UTF-8") from error
    entries = []
    for number, line in enumerate(lines, start=1):
        try:
            entries += [from_dict(Entry, json.loads(line))] if line.strip() else []
        except ValueError as error:
            raise ManifestError(f"{path}, line {number}: {error}") from error
    manifest = Manifest(path.parent, tuple(entries))
    _validate(manifest, path, check_files)
    return manifest


def write_manifest(path: Path | str, entries: Iterable[Entry]) -> None:
    """Write a manifest, which is checked when it is read."""
    lines = (json.dumps(to_dict(entry), ensure_ascii=False) + "\n" for entry in entries)
    with complete(Path(path)) as part:
        part.write_text("".join(lines), encoding="utf-8")


def _validate(manifest: Manifest, path: Path, check_files: bool) -> None:
    if not manifest.entries:
        raise ManifestError(f"{path} lists no utterances")
    rates = sorted({entry.sample_rate for entry in manifest.entries})
    if len(rates) > 1:
        raise ManifestError(f"{path} mixes sample rates ({', '.join(map(str, rates))}); prepare them alike")
    seen: set[str] = set()
    for entry in manifest.entries:
        if entry.path in seen:
            raise ManifestError(f"{path} lists {entry.path} twice")
        seen.add(entry.path)
        for file in (entry.path, entry.mel or entry.path) if check_files else ():
            if not (manifest.root / file).is_file():
                raise ManifestError(f"{path} lists {file}, which does not exist; run the same prepare again")
