"""What audio says of itself: that it is synthetic, by which model of which version, out of which seed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import soundfile

from vocoder.version import __version__

__all__ = ["PROGRAM", "Origin", "mark"]

PROGRAM = "flow-vocoder"
"""what the field of a file that names its program begins with"""


@dataclass(frozen=True)
class Origin:
    """Where audio comes from.

    Attributes:
        model: its name.
        version: of this package.
        seed: of the noise; None where it is not known.
        synthetic: whether a machine spoke.
    """

    model: str
    version: str = __version__
    seed: int | None = None
    synthetic: bool = True

    @property
    def program(self) -> str:
        """What wrote the audio, for people."""
        return f"{PROGRAM} {self.version}"

    def to_json(self) -> str:
        """Return all of it as a JSON object in ASCII, which every container and HTTP header can hold."""
        return json.dumps({name: value for name, value in asdict(self).items() if value is not None})

    @classmethod
    def of_model(cls, reference: str, seed: int | None) -> Origin:
        """Return the origin of what a model makes; of a directory only its own name is told, not where it is."""
        path = Path(reference)
        return cls(path.resolve().name if path.is_dir() else reference, seed=seed)

    @classmethod
    def of_json(cls, text: str) -> Origin | None:
        """Return what `to_json` says; None where a text is something else."""
        try:
            said = json.loads(text)
            origin = cls(said["model"], said["version"], said.get("seed"), said["synthetic"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        right = isinstance(origin.model, str) and isinstance(origin.version, str) and type(origin.synthetic) is bool
        return origin if right and (origin.seed is None or type(origin.seed) is int) else None


def mark(file: soundfile.SoundFile, origin: Origin | None) -> None:
    """Write an origin into the head of a file: LIST/INFO of wav, comments of FLAC and Ogg, ID3 of mp3.

    Args:
        file: open for writing, without any samples yet.
        origin: None writes nothing.
    """
    if origin is not None:
        file.software, file.comment = origin.program, origin.to_json()
