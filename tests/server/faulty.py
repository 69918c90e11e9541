"""A synthesizer that fails as devices do, and a process that serves it."""

import asyncio
import fcntl
import os
import sys
import threading
import time

import numpy as np
import torch

from server.process import run
from server.settings import Settings
from vocoder.mel.config import preset

POISON = -7.25
WARM_UP = 3  # calls before a model is ready


class FaultySynthesizer:
    """Speaks each frame's mean; from call `first` after its warm-up to that before `last` it does what `fault` says.

    Faults: `slow:SECONDS`, `hang` (until `release` is set), `nan`, `short`, `out-of-memory`, `fatal` (the device is
    lost, as after an illegal access), `bug`, `none`.
    """

    name = "faulty"
    mel_config = preset("nvidia")
    sample_rate = 22050
    hop_length = 256

    def __init__(self, fault="none", first=0, last=10**9):
        self.fault, _, seconds = fault.partition(":")
        self.seconds = float(seconds or 0.0)
        self.first = first
        self.last = last
        self.calls = -WARM_UP
        self.release = threading.Event()

    def info(self):
        return {"family": "faulty", "provenance": {}, "quality": {}}

    def synthesize(self, mel, **options):
        number, self.calls = self.calls, self.calls + 1
        x = np.repeat(np.tanh(mel.mean(axis=0) / 10.0), self.hop_length).astype(np.float32)
        return self._spoil(x) if self.first <= number < self.last else x

    def _spoil(self, x):
        match self.fault:
            case "slow":
                time.sleep(self.seconds)
            case "hang":
                self.release.wait(60.0)
            case "nan":
                x[len(x) // 2] = np.nan
            case "short":
                return x[:-1]
            case "out-of-memory":
                raise torch.OutOfMemoryError("secret")
            case "fatal":
                raise RuntimeError("CUDA error: an illegal memory access was encountered; secret")
            case "bug":
                raise KeyError("secret")
        return x


class FaultyRowSynthesizer(FaultySynthesizer):
    """Speaks several mels in one run, in a memory of `capacity` frames; where a mel of POISON is among them, it fails.

    `gate` holds up every run but those of the warm-up.
    """

    def __init__(self, capacity=10**9, **options):
        super().__init__(**options)
        self.capacity = capacity
        self.runs = []
        self.gate = threading.Event()
        self.gate.set()

    def synthesize(self, mel, **options):
        if self.calls >= 0:
            self._enter([mel])
        return super().synthesize(mel, **options)

    def synthesize_many(self, utterances):
        self._enter([utterance.mel for utterance in utterances])
        return [FaultySynthesizer.synthesize(self, utterance.mel) for utterance in utterances]

    def _enter(self, mels):
        self.runs.append([mel.shape[1] for mel in mels])
        assert self.gate.wait(60.0)
        if sum(self.runs[-1]) > self.capacity:
            raise torch.OutOfMemoryError("secret")
        if any(mel[0, 0] == POISON for mel in mels):
            raise KeyError("secret")


def serve(fault, settings, output, blocked=False):
    """Serve as a process of its own, whose standard output and error go to the files `output`.out and .err.

    If it is `blocked`, standard error is a small pipe that nobody reads.
    """
    for descriptor, suffix in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{output}.{suffix}", os.O_WRONLY | os.O_CREAT | os.O_APPEND), descriptor)
    if blocked:
        _, writing = os.pipe()
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
        os.dup2(writing, 2)
    synthesizer = FaultySynthesizer(fault)
    sys.exit(asyncio.run(run(Settings(models=("faulty",), port=0, **settings), lambda _: synthesizer)))
