"""Streams that compute in another process, with the state of their stages there."""

import weakref
from typing import Any

import torch
from torch import Tensor

from server.engine.lanes import compute_on
from server.engine.twins import NUMBERS, Audio, Model, Twin, Twins, Work
from vocoder.stages import Pipeline


class Remote:
    """A `Pipeline` that computes in another process, always the same one, and here once that has ended."""

    def __init__(self, here: Pipeline, twins: Twins, twin: Twin, model: Model, sampling: dict[str, Any]) -> None:
        self._here, self._twins, self._twin, self._model, self._sampling = here, twins, twin, model, sampling
        self._mel: list[Tensor] = []
        self._taken = 0  # pieces of the mel that the one that computes has taken
        self._local = False
        self._number = next(NUMBERS)
        self.lookahead, self.frames, self.mel_frames = here.lookahead, 0, 0
        self.total: int | None = None
        weakref.finalize(self, twins.forget, self._number)

    @property
    def available(self) -> bool:
        """Whether `advance` would not wait for other work of the process."""
        return self._local or not self._twin.lock.locked()

    def feed(self, mel: Tensor) -> None:
        """Append frames (1, n_mels, frames) to the mel."""
        self._mel.append(mel)
        self.mel_frames += mel.shape[2]

    def finish(self) -> None:
        """End the mel."""
        self.total = self.mel_frames

    def advance(self, frames: int) -> Tensor:
        """Compute the next frames (1, 1, T) of the audio."""
        x = None if self._local else self._elsewhere(frames)
        made = self._locally(frames) if x is None else torch.from_numpy(x)[None, None]
        self.frames += frames
        return made

    def _elsewhere(self, frames: int) -> Audio | None:
        mel = torch.cat([self._mel[0][:, :, :0], *self._mel[self._taken :]], dim=2)[0].numpy()
        self._taken = len(self._mel)
        ended, threads = self.total is not None, torch.get_num_threads()
        work = Work(self._model, self._sampling, mel, self._number, ended, frames, threads)
        self._twin.lock.acquire()
        compute_on(1)  # what follows is short, and threads of the other process may still spin on the other cores
        return self._twins.ask(self._twin, work)

    def _locally(self, frames: int) -> Tensor:
        """Compute the next frames here, at first after all earlier ones, which give the state."""
        self._taken, self._local = self._taken if self._local else 0, True
        for piece in self._mel[self._taken :]:
            self._here.feed(piece)
        self._taken = len(self._mel)
        if self.total is not None:
            self._here.finish()
        if self._here.frames < self.frames:
            self._here.advance(self.frames)
        return self._here.advance(frames)
