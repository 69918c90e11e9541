"""Synthesizers without weights that can fail like devices, and functions that run in separate processes."""

import asyncio
import fcntl
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import torch

from server.app import create_app
from server.engine.jobs import Job, at_once
from server.engine.lanes import Lanes
from server.engine.queue import WorkQueue
from server.process import run
from server.settings import Settings
from vocoder.mel.config import preset
from vocoder.sampling import sampling_fields

WARM_UP = 4  # calls before a model is ready; fakes count the last as their first
POISON = -7.25
LOST = RuntimeError("CUDA error: an illegal memory access was encountered; secret")


class FakeSynthesizer:
    """Outputs each frame's mean and noise; `gate` blocks it, a `fault` raises or changes audio after the warm-up."""

    family = "fake"
    dtype = "float32"
    corrections = 0
    device = "cpu"
    model = type("Model", (), {"sequential": True, "steps_per_frame": 2})

    def __init__(self, name="fake", mel_config=None):
        self.name = name
        self.mel_config = mel_config or preset("nvidia")
        self.sample_rate = self.mel_config.sample_rate
        self.hop_length = self.mel_config.hop_length
        self.gain = 1.0
        self.gate = threading.Event()
        self.gate.set()
        self.fault = None
        self.threads = set()
        self.entered = self.calls = 1 - WARM_UP

    def info(self):
        fields = {"family": self.family, "parameters": 3, "device": "cpu", "dtype": "float32"}
        return fields | {"provenance": {"licence": "none"}, "quality": {}, "weights_sha256": "0123"}

    def synthesize(self, mel, *, sigma=None, seed=None, denoise=0.0, corrections=None, sharpen=None):
        mel = getattr(mel, "given", mel)  # of an `Admitted`
        self.entered += 1
        assert self.gate.wait(60.0)
        self.threads.add(threading.get_ident())
        self.calls += 1
        fault = self.fault if self.calls > 1 else None
        if isinstance(fault, Exception):
            raise fault
        noise = np.random.default_rng(seed).standard_normal(mel.shape[1] * self.hop_length)
        scale = 0.01 * (0.5 if sigma is None else sigma) * (1.0 - denoise) / (1.0 + (corrections or 0))
        x = self.gain * (np.repeat(np.tanh(mel.mean(axis=0) / 10.0), self.hop_length) + scale * noise)
        return x.astype(np.float32) if fault is None else fault(x.astype(np.float32))


class RowSynthesizer(FakeSynthesizer):
    """Synthesizes mels at once, up to `capacity` frames, listed in `runs`; fails if one starts with POISON."""

    def __init__(self, capacity=10**9):
        super().__init__()
        self.capacity = capacity
        self.runs = []

    def synthesize(self, mel, **options):
        if self.calls > 0:
            self._enter([mel])
        return super().synthesize(mel, **options)

    def synthesize_many(self, utterances):
        self._enter([utterance.mel for utterance in utterances])
        return [FakeSynthesizer.synthesize(self, one.mel, **sampling_fields(one)) for one in utterances]

    def _enter(self, mels):
        mels = [getattr(mel, "given", mel) for mel in mels]
        self.runs.append([mel.shape[1] for mel in mels])
        assert self.gate.wait(60.0)
        if sum(self.runs[-1]) > self.capacity:
            raise torch.OutOfMemoryError("secret")
        if any(mel[0, 0] == POISON for mel in mels):
            raise KeyError("secret")


def slow(x):
    time.sleep(1.5)
    return x


def forkserver():
    """Return a context for processes with torch and the server loaded, but without threads of this one."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["server.process"])  # it would silently fail to find this file
    return context


FAULTS = {"none": None, "slow": slow, "hang": lambda x: threading.Event().wait(60.0), "lost": LOST}


def serve(fault, settings, output, blocked=False):
    """Serve in this process, which prints to `output`.out and .err or, if `blocked`, its errors to an unread pipe."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # the server of forks may come from a thread that blocks signals
    for descriptor, suffix in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{output}.{suffix}", os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    if blocked:
        _, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        os.dup2(writing, 2)
    fake = FakeSynthesizer()
    fake.fault = FAULTS[fault]
    sys.exit(asyncio.run(run(Settings(models=("fake",), port=0, **settings), lambda _: fake)))


def count_threads(answer):
    """Put the cores of the first of three lanes, the number of new threads, and the cores of this thread."""

    def threads():
        return len(list(Path("/proc/self/task").iterdir()))

    torch.get_num_threads(), torch.set_num_threads(3)
    before = threads()
    create_app(Settings())
    queue = WorkQueue(Lanes(3, 3), 64, 30.0)
    queue.lanes.start()
    job = Job(1, parts=at_once(lambda: (torch.ones(2**22).exp(), torch.get_num_threads())[1]))
    answer.put((queue.submit(job).result(60.0), threads() - before, torch.get_num_threads()))
