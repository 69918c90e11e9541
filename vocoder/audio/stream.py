"""Write an audio file in pieces."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile
from numpy.typing import NDArray

from vocoder.audio.file import AUDIO_FORMATS, AudioError, WriteReport, failure, peak, quantise
from vocoder.audio.origin import Origin, mark


class AudioStream:
    """An audio file that is written in chunks. Samples beyond full scale are clipped and counted.

    A context manager. The file equals what `write_audio` writes of the whole.

    Args:
        target: path whose suffix is a key of `AUDIO_FORMATS`.
        sample_rate: Hz.
        origin: what the file says about its origin; nothing by default.

    Raises:
        AudioError: unknown suffix, unsupported sample rate, or a file that cannot be written.
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
        """What writing has done to the audio so far."""
        return WriteReport(self._sample_rate, self._peak, self._clipped)
