"""A loaded model: its warm-up, its runs on utterances alone, batched or in parts, and its streams."""

import gc
import logging
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

import vocoder
from server.engine.jobs import Parts
from server.engine.lanes import compute_on
from server.engine.queue import SLOWEST, Pace
from server.engine.twins import NUMBERS, Audio, Model, Twin, Twins, Work
from server.problems import Problem
from vocoder.admission import as_admitted
from vocoder.correction.chains import BLOCK
from vocoder.mel.values import mel_range
from vocoder.memory import give_back_memory
from vocoder.sampling import Utterance, sampling_fields
from vocoder.stages import Pipeline
from vocoder.synthesis.stream import StreamSession
from vocoder.synthesis.synthesizer import Synthesizer

logger = logging.getLogger(__name__)

Record = Callable[..., None]
"""adds to a metric; see `Metrics.record`"""

WARM_UP_FRAMES = 32
LEAST_WARM_UP = 4  # frames; fewer may be too short for corrections, so that their code would not be compiled
WARM_UP_DENOISE = 0.1
DENOISER_FRAMES = 88  # frames of silence that a denoiser analyses once
WARM_UP_SECONDS = 5.0  # limit for the last warm-up run, as estimated from the first ones
REPEATED = 0.5  # seconds; a shorter warm-up run, or one slower than expected, is repeated to measure the pace
LONGEST_RUN = 2.0  # seconds; longer mels are computed in parts, if the model can
PART_SECONDS = 1.0
MAX_PART_FRAMES = 512  # the chunk size in which models compute long mels anyway
LEAST_PART_FRAMES = 256  # for parallel models, whose shorter parts would cost up to twice as much per frame
SHARED_FRAMES = 2**13  # most frames in a batch on a GPU
NETWORK_CORRECTIONS = 17  # corrections that cost about as much as the rest of the default model


class SynthesisError(Problem):
    """The model failed on one request; `cause` is its exception, or says what is wrong with its audio."""

    def __init__(self, cause: str | Exception) -> None:
        name, text = type(cause).__name__, str(cause)  # a synthesizer need not be based on torch
        on_mps = isinstance(cause, RuntimeError) and text.startswith("MPS backend out of memory")
        lost = name == "AcceleratorError" or (isinstance(cause, RuntimeError) and "CUDA error" in text)
        self.out_of_memory = isinstance(cause, MemoryError) or name == "OutOfMemoryError" or on_mps
        self.fatal = lost and not self.out_of_memory
        """whether the device is lost for the rest of this process"""
        # The message of an exception may contain anything.
        message = cause if isinstance(cause, str) else f"the model failed with {name}"
        if self.out_of_memory:
            super().__init__("out-of-memory", "The device ran out of memory; send a shorter mel.")
        else:
            super().__init__("synthesis-failed", f"Synthesis failed: {message}.")


Outcome = NDArray[np.float32] | SynthesisError


class LoadedModel:
    """A model that several threads may use at once.

    `record` is called with the counts of each run, `shared_frames` is the most in a batch, if any are made, and `twins`
    are processes with copies of the model, in which utterances on one core are synthesized.
    """

    def __init__(
        self, synthesizer: Synthesizer, record: Record | None = None, shared_frames: int = 0, twins: Twins | None = None
    ) -> None:
        self.name = short_name(synthesizer.name)
        self.synthesizer = synthesizer
        self.mel_config, self.info = synthesizer.mel_config, synthesizer.info()
        self.dtype = str(synthesizer.dtype).removeprefix("torch.")
        """precision of its matrix products"""
        self.pace = Pace()
        self._least_part = 1 if synthesizer.model.sequential else LEAST_PART_FRAMES
        self._record: Record = record or (lambda *_, **__: None)
        self.shared_frames = shared_frames
        """most frames of mels that share a run; less once these did not fit into memory"""
        self._twins = Twins(0, vocoder.load) if twins is None else twins
        self._model = Model(next(NUMBERS), synthesizer.name, self.info["weights_sha256"])
        weakref.finalize(synthesizer.model, self._twins.forget, self._model.number)  # a stream may outlive this object

    def try_out(self, frames: int = 1, denoise: float = 0.0) -> float:
        """Synthesize silence and return the seconds it took; raise if the model fails."""
        started = time.perf_counter()
        x = self.synthesizer.synthesize(self._silence(frames), seed=0, denoise=denoise)
        check_output(x, frames, self.mel_config.hop_length)
        return time.perf_counter() - started

    def warm_up(self, seconds: float) -> None:
        """Run the model as requests will. `seconds` is its time for one frame; slow models run on fewer frames."""
        frames = max(LEAST_WARM_UP, min(WARM_UP_FRAMES, int(WARM_UP_SECONDS / max(seconds, 1e-6))))
        with_denoiser = (WARM_UP_FRAMES + DENOISER_FRAMES) * seconds <= WARM_UP_SECONDS
        took = self.try_out(frames, WARM_UP_DENOISE if with_denoiser else 0.0)
        if took < REPEATED or took > SLOWEST * frames * seconds:  # by then without what only a first run does
            took = self.try_out(frames)
        self.pace.add(1, took / frames)
        self._twins.wait()
        for _ in range(2):
            self._twins.each(self._model, self._silence(frames), {"seed": 0})

    def _silence(self, frames: int) -> NDArray[np.float32]:
        return np.full((self.mel_config.n_mels, frames), mel_range(self.mel_config).silence, np.float32)

    def cost(self, corrections: int | None) -> float:
        """Return the cost of a frame with `corrections`, relative to one with the model's own number of them."""
        own = self.synthesizer.corrections
        return (NETWORK_CORRECTIONS + (own if corrections is None else corrections)) / (NETWORK_CORRECTIONS + own)

    def run(self, utterances: Sequence[Utterance]) -> list[Outcome]:
        """Return the audio or the error of each utterance. If the run fails, it is repeated in halves."""
        try:
            audio = self._synthesize(utterances)
        except Exception as error:
            failure = SynthesisError(error)
            if failure.out_of_memory:
                self._record("out_of_memory", model=self.name)
            if failure.fatal or len(utterances) == 1:
                logger.exception("synthesis of %s frames failed", [utterance.frames for utterance in utterances])
                return [failure] * len(utterances)
        else:
            return [self._checked(x, utterance) for x, utterance in zip(audio, utterances, strict=True)]
        # Outside the handler, because the exception keeps the failed run's memory alive.
        if failure.out_of_memory:  # limit later runs to half of what did not fit
            self.shared_frames = min(self.shared_frames, sum(utterance.frames for utterance in utterances) // 2)
            logger.warning("out of memory: batches are limited to %d frames from now on", self.shared_frames)
            free_memory()
        half = len(utterances) // 2
        return self.run(utterances[:half]) + self.run(utterances[half:])

    def in_parts(self, utterance: Utterance) -> Parts | None:
        """Return an utterance's work in parts if it would block others for too long, otherwise None."""
        speed = self.pace.frames_per_second / self.cost(utterance.corrections)
        size = max(self._least_part, min(MAX_PART_FRAMES, int(PART_SECONDS * speed)))
        if utterance.frames <= max(size, LONGEST_RUN * speed):
            return None
        return self._parts(utterance, size // BLOCK * BLOCK or size)

    def _parts(self, utterance: Utterance, size: int) -> Parts:
        session = self.open_stream(sampling_fields(utterance), chunk_frames=size, first_chunk_frames=size)
        session.push(self.admitted(utterance.mel))
        session.finish()
        parts = [session.next()]
        while not session.done:
            yield len(parts[-1]) // self.mel_config.hop_length
            parts.append(session.next())
        x = np.concatenate(parts)
        check_output(x, utterance.frames, self.mel_config.hop_length)
        self._count([utterance])
        return x

    def _synthesize(self, utterances: Sequence[Utterance]) -> list[NDArray[np.float32]]:
        if len(utterances) > 1:
            admitted = [replace(one, mel=self.admitted(one.mel)) for one in utterances]
            audio = self.synthesizer.synthesize_many(admitted)
        else:
            (one,) = utterances
            sampling, x = sampling_fields(one), None
            if torch.get_num_threads() == 1:
                x = self._twins.whole(self._model, one.mel, sampling)
            audio = [self.synthesizer.synthesize(self.admitted(one.mel), **sampling) if x is None else x]
        self._count(utterances)
        return audio

    def admitted(self, mel: NDArray[np.float32]) -> Any:
        """Return a mel (n_mels, frames) that the server has admitted and converted, which is not checked again."""
        return as_admitted(mel, self.mel_config, self.synthesizer.device)

    def open_stream(self, sampling: dict[str, Any], **sizes: Any) -> StreamSession:
        """Open a stream, which computes in another process if one is idle."""
        session = self.synthesizer.open_stream(**sampling, **sizes)
        if (twin := next(self._twins.idle(), None)) is not None:
            twin.lock.release()
            here: Any = session.pipeline
            session.pipeline = Remote(here, self._twins, twin, self._model, sampling)  # type: ignore[assignment]
        return session

    def _count(self, utterances: Sequence[Utterance]) -> None:
        self._record("batch_items", len(utterances), model=self.name)
        self._record("batch_frames", sum(utterance.frames for utterance in utterances), model=self.name)

    def _checked(self, x: NDArray[np.float32], utterance: Utterance) -> Outcome:
        try:
            check_output(x, utterance.frames, self.mel_config.hop_length)
        except SynthesisError as error:
            logger.error("synthesis of %d frames failed: %s", utterance.frames, error)
            return error
        return x


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


def short_name(reference: str) -> str:
    """Return the last part of a name or path, so that clients do not see the file system."""
    return Path(reference).resolve().name


def free_memory() -> None:
    """Return unused memory to the system and device, and exclude all objects in use from later collections."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    give_back_memory()
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()


def check_output(x: NDArray[np.float32], frames: int, hop_length: int) -> None:
    """Raise SynthesisError unless x is finite and (frames * hop_length,)."""
    if x.shape != (frames * hop_length,):
        raise SynthesisError("the model returned a waveform of the wrong length")
    if not np.isfinite(x).all():
        raise SynthesisError("the model returned samples that are not finite")
