"""The running application as routes see it: its models by name, and the parts that all requests share."""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from difflib import get_close_matches
from functools import partial
from typing import Annotated, Any, TypeVar

import anyio.to_thread
import torch
from fastapi import Depends
from starlette.requests import HTTPConnection

import vocoder
from server.engine.engine import LOADING_SECONDS, Engine, EngineState, Load, NotReadyError
from server.engine.jobs import Job, at_once
from server.engine.lanes import Lanes, available_cores, compute_on
from server.engine.model import SHARED_FRAMES, LoadedModel, free_memory
from server.engine.queue import WorkQueue
from server.engine.twins import Twins
from server.limits.gate import Drain, Pool, give_back_freed
from server.limits.keys import KeyRing
from server.problems import INFERENCE, Problem
from server.settings import Settings
from server.telemetry.requests import Metrics
from vocoder.admission import ENOUGH_FRAMES
from vocoder.audio.writing import Origin
from vocoder.guard.guard import guards
from vocoder.mel.config_file import known_presets
from vocoder.synthesis.synthesizer import Synthesizer

R = TypeVar("R")

logger = logging.getLogger(__name__)

COMPUTING = ("lane", "loader", "worker")  # name prefixes of the threads that compute


class LoadError(Exception):
    """A model could not be loaded or warmed up."""


class Engines:
    """All engines of a server, on shared `lanes`; the first is the default. `items` and `seconds` limit each queue."""

    def __init__(self, references: Sequence[str], load: Load, lanes: Lanes, items: int, seconds: float) -> None:
        self.lanes = lanes
        self.others = "To serve more, start it with one --model each: vocoder-serve --model NAME --model NAME."
        """how to serve other models, for error messages"""
        self._make: Callable[[str], Engine] = lambda name: Engine(name, load, lanes, items, seconds)
        self._engines = tuple(map(self._make, references))
        self._adding = asyncio.Lock()

    def __iter__(self) -> Iterator[Engine]:
        return iter(self._engines)

    def get(self, name: str | None) -> Engine:
        """Return a model's engine by name, the default for None; raises a Problem if it is unknown or loading."""
        if name is None:
            return self._engines[0]
        for engine in self._engines:
            if engine.name == name:
                return engine
        if any(engine.state is EngineState.LOADING and not engine.in_service for engine in self._engines):
            raise Problem("warming", "The models are still loading.", retry_after=LOADING_SECONDS)
        names = [engine.name for engine in self._engines]
        meant = "".join(f" Did you mean {close}?" for close in get_close_matches(name, names, n=1))
        message = f"This server has the models {', '.join(names)}.{meant} {self.others}"
        raise Problem("unknown-model", message, models=names)

    @property
    def ready(self) -> bool:
        """Whether every model has been loaded and warmed up under a unique name, and none has failed or stopped."""
        return self._distinct and all(engine.in_service for engine in self._engines)

    @property
    def _distinct(self) -> bool:
        return len({engine.name for engine in self._engines}) == len(self._engines)

    def start(self) -> None:
        """Load the models on a background thread. Each serves as soon as it is ready."""
        self.lanes.start()
        threading.Thread(target=self._load, name="loader", daemon=True).start()

    async def wait_ready(self) -> None:
        """Wait until every model is warm; raises a LoadError if one failed or two have the same name."""
        for engine in self._engines:
            await _loaded(engine, engine.name)
        if not self._distinct:
            names = ", ".join(sorted(engine.name for engine in self._engines))
            raise LoadError(f"every model needs a unique name, but these are {names}")

    async def load(self, reference: str) -> None:
        """Reload a model, or add one by its name or directory. The old one serves until the new one is ready.

        Raises a LoadError if it cannot be loaded or another model has its name.
        """
        async with self._adding:
            await self._add(reference)
            await asyncio.to_thread(free_memory)  # of the replaced model, which no variable holds any more

    async def unload(self, name: str) -> None:
        """Unload a model once its running jobs are done; raises a Problem if it is unknown or still loading."""
        if not (engine := self.get(name)).unload() and engine.state is EngineState.LOADING:
            raise NotReadyError(engine.state)
        await asyncio.to_thread(free_memory)

    async def unload_unused(self, seconds: float) -> None:
        """Keep unloading models that have been unused for `seconds`."""
        while True:
            await asyncio.sleep(seconds / 8)
            for engine in self._engines:
                if engine.unload(unused_for=seconds):
                    await asyncio.to_thread(free_memory)

    def stop(self, timeout: float) -> None:
        """Accept no more work, and finish waiting work within `timeout` seconds."""
        for engine in self._engines:
            engine.close()
        self.lanes.stop(timeout)
        for engine in self._engines:
            engine.queue.refuse_all(NotReadyError(engine.state))

    async def _add(self, reference: str) -> None:
        engine = known = next((one for one in self._engines if reference in (one.name, one.reference)), None)
        if engine is None or engine.state in (EngineState.READY, EngineState.FAILED):
            engine = self._make(engine.reference if engine else reference)
            engine.start_loading()
        engine.wake()
        await _loaded(engine, reference)
        namesakes = [other for other in self._engines if other.name == engine.name and other is not known]
        if any(other.state is not EngineState.UNLOADED for other in namesakes):
            engine.unload()
            raise LoadError(f"there already is a model {engine.name}: unload it, or give this one another name")
        known = known or next(iter(namesakes), None)
        engines = self._engines if known else (*self._engines, engine)
        self._engines = tuple(engine if one is known else one for one in engines)

    def _load(self) -> None:
        for engine in self._engines:
            if engine.state is EngineState.LOADING:
                engine.load()  # one at a time: loading the next would disturb the timing of this one


async def _loaded(engine: Engine, name: str) -> None:
    """Wait until a model is ready; raises a LoadError if it cannot be loaded."""
    try:
        await asyncio.shield(asyncio.wrap_future(engine.loaded))  # other tasks wait for the same future
    except Exception as error:
        raise LoadError(f"cannot load model {name}: {error}") from error


class Service:
    """The parts of one application. `load`, by default `vocoder.load`, takes a model's name or directory."""

    def __init__(self, settings: Settings, load: Callable[[str], Synthesizer] | None = None) -> None:
        cores, kind = settings.cores or available_cores(), torch.device(settings.device).type
        lanes, workers = Lanes(cores if kind == "cpu" else 1, cores), Lanes(settings.worker_threads, 1, "worker")
        shared_frames, limits = SHARED_FRAMES if kind == "cuda" else 0, (settings.queue_size, settings.max_wait)
        several = lanes.count if lanes.count > 1 else 0
        processes = several if settings.processes < 0 else settings.processes
        dtype = None if settings.dtype == "auto" else settings.dtype
        own = load or partial(vocoder.load, device=settings.device, dtype=dtype, guard="off")
        self.settings = settings
        self.metrics = metrics = Metrics()
        twins = Twins(processes if load is None and kind == "cpu" else 0, own, settings.stall_timeout / 2.0)
        self._twins = twins

        def loaded(reference: str) -> LoadedModel:
            return LoadedModel(own(reference), metrics.record, shared_frames, twins)

        self.engines = Engines(settings.models, loaded, lanes, *limits)
        if settings.model_control:
            self.engines.others = f"POST {INFERENCE}/repository/models/NAME/load on the admin port loads others."
        self.workers = WorkQueue(workers, 2**16, settings.max_wait)
        """prepares mels and encodes audio"""
        self.mels = WorkQueue(lanes, *limits)  # computes mels from audio
        self.drain = Drain(Pool(settings.max_connections), settings.drain_delay, settings.drain_timeout)
        self.memory = Pool(settings.max_buffered_bytes)  # bytes held by requests
        path, quotas = settings.api_keys_file, (settings.requests_per_minute, settings.frames_per_minute)
        self.keys = None if path is None else KeyRing(path, *quotas)
        self.mel_configs = known_presets(settings.contracts)
        """the mel configs that requests may name"""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start the models and background tasks; at the end, finish accepted work."""
        compute_on(1)  # the event loop runs small tensor operations; the lanes use the other cores
        for guard in guards():  # loads them; the first run of each is slower
            guard.recognise(torch.zeros(guard.mel_config.n_mels, ENOUGH_FRAMES))
        self.workers.lanes.start()
        self.engines.start()
        watches = [asyncio.create_task(give_back_freed(self.memory))]
        if unload_after := self.settings.unload_after:
            watches.append(asyncio.create_task(self.engines.unload_unused(unload_after)))
        if self.keys is not None:
            watches.append(asyncio.create_task(self.keys.watch()))
        try:
            self._twins.start()
            yield
        finally:
            for watch in watches:
                watch.cancel()
            await anyio.to_thread.run_sync(self.engines.stop, self.drain.remaining)
            await anyio.to_thread.run_sync(self.workers.lanes.stop, self.drain.remaining)
            await anyio.to_thread.run_sync(self._twins.stop)

    def origin(self, engine: Engine, seed: int | None) -> Origin | None:
        """Return the origin to write into the audio, or None if the settings turn it off."""
        return Origin(engine.name, seed=seed, dtype=engine.model.dtype) if self.settings.origin else None

    async def run(self, function: Callable[..., R], *arguments: Any, new: bool = False) -> R:
        """Run a short function (milliseconds) on a worker in fair turns; cancelling the caller dequeues it.

        Raises a QueueFullError if it would wait too long and is `new`, that is, not part of admitted work.
        """
        job = Job(1, parts=at_once(function, *arguments))
        result: R = await asyncio.wrap_future(self.workers.submit(job, limited=new))
        return result


async def get_service(connection: HTTPConnection) -> Service:
    """Return the service of a connection's application. Async, because FastAPI runs sync dependencies on a thread."""
    service: Service = connection.app.state.service
    return service


ServiceDependency = Annotated[Service, Depends(get_service)]
