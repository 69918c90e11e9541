"""Where audio comes from: that it is synthetic, and its model, version, seed and precision."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import soundfile

from vocoder.config import from_dict
from vocoder.version import __version__

PROGRAM = "flow-vocoder"
"""prefix of the program field of audio files"""


@dataclass(frozen=True)
class Origin:
    """Where audio comes from: the name of the model, the version of this package, and whether it was synthesized.

    `seed` of the noise and `dtype` that the model multiplied in are None if unknown.
    """

    model: str
    version: str = __version__
    seed: int | None = None
    synthetic: bool = True
    dtype: str | None = None

    @property
    def program(self) -> str:
        """What wrote the audio, for people to read."""
        return f"{PROGRAM} {self.version}"

    def to_json(self) -> str:
        """Return a JSON object in ASCII, for any container and HTTP header."""
        return json.dumps({name: value for name, value in asdict(self).items() if value is not None})

    @classmethod
    def of_model(cls, reference: str, seed: int | None, dtype: object = None) -> "Origin":
        """Return the origin for a model; of a directory it keeps only the name."""
        path, name = Path(reference), None if dtype is None else str(dtype).removeprefix("torch.")
        return cls(path.resolve().name if path.is_dir() else reference, seed=seed, dtype=name)

    @classmethod
    def of_json(cls, text: str) -> "Origin | None":
        """Read what `to_json` wrote; None for any other text."""
        try:
            said = json.loads(text)
            return from_dict(cls, {field.name: said.get(field.name) for field in fields(cls)})
        except (ValueError, AttributeError):
            return None


def mark(file: soundfile.SoundFile, origin: Origin | None) -> None:
    """Write an origin into the header of a file that is open for writing, still without samples.

    It goes into LIST/INFO of wav, comments of FLAC and Ogg, ID3 of mp3.
    """
    if origin is not None:
        file.software, file.comment = origin.program, origin.to_json()
