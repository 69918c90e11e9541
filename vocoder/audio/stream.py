"""An audio file written piece by piece."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile
from numpy.typing import NDArray

from vocoder.audio.file import AUDIO_FORMATS, AudioError, WriteReport, failure, peak, quantise
from vocoder.audio.origin import Origin, mark

__all__ = ["AudioStream"]


class AudioStream:
    """An audio file that grows with every chunk; samples beyond full scale are set to it and counted.

    Use it as a context manager. The result equals that of `write_audio` of the whole.

    Args:
        target: path of the file; its suffix is a key of `AUDIO_FORMATS`.
        sample_rate: Hz.
        origin: what the file says of where the audio comes from; nothing if left out.

    Raises:
        AudioError: unknown suffix, a sample rate that the format does not know, or a file that cannot be written.
    """

    def __init__(self, target: Path, sample_rate: int, origin: Origin | None = None) -> None:
        name = target.suffix.removeprefix(".").lower()
        if name not in AUDIO_FORMATS:
            raise AudioError(f"cannot write {target}: unknown format {name!r}; known: {', '.join(AUDIO_FORMATS)}")
        self._encoding = AUDIO_FORMATS[name]
        known = self._encoding.sample_rates
        if known and sample_rate not in known:
            raise AudioError(f"cannot write {target} in pieces: {name} knows {', '.join(map(str, known))} Hz only")
        self._sample_rate = sample_rate
        self._peak, self._clipped = 0.0, 0
        try:
            self._file = soundfile.SoundFile(
                target, "w", sample_rate, 1, self._encoding.subtype, format=self._encoding.container
            )
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise AudioError(f"cannot write {target}: {failure(error)}") from None
        mark(self._file, origin)

    def __enter__(self) -> AudioStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, x: NDArray[np.float32]) -> None:
        """Append audio (T,)."""
        self._peak = max(self._peak, peak(x))
        self._clipped += int(np.count_nonzero(np.abs(x) > 1.0))
        x = np.clip(x, -1.0, 1.0)
        self._file.write(x if self._encoding.bits is None else quantise(x, self._encoding.bits))

    @property
    def report(self) -> WriteReport:
        """Return what writing has done to the audio so far."""
        return WriteReport(self._sample_rate, self._peak, self._clipped)
