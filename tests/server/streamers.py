"""A fake synthesizer that streams with the real pipeline and can be blocked or made to fail."""

import time

import numpy as np
import torch
from fakes import FakeSynthesizer
from torch.nn import functional

from vocoder.adapt.path import MelPath
from vocoder.admission import Admitted, StreamAdmission
from vocoder.mel.sharpening import sharpening_of
from vocoder.sampling import white_noise
from vocoder.stages import MEL, NOISE, Pipeline, Stage
from vocoder.synthesis.stream import ChunkSizes, StreamSession

REACH = 3


class Streamer(FakeSynthesizer):
    """Outputs means of seven frames with noise, up to step `shut_after`; raises `fault` from frame `fault_at` on."""

    def __init__(self, name="streamer", mel_config=None):
        super().__init__(name, mel_config)
        self.fault_at = 0
        self.shut_after = -1
        self.steps = 0

    def synthesize(self, mel, *, sigma=None, seed=None, **options):
        self.entered += 1
        assert self.gate.wait(60.0)
        x = mel.mel if isinstance(mel, Admitted) else torch.from_numpy(mel)[None]
        noise = white_noise(seed or 0, 0, x.shape[2], 1, self.hop_length)[None]
        return self._synthesize(0.5 if sigma is None else sigma, x, noise)[0, 0].numpy()

    def has_stalled(self):
        """Return whether synthesis has started but made no progress for a while."""
        before = self.steps
        time.sleep(0.3)
        return self.steps == before > 0

    def open_stream(self, *, sigma=None, seed=None, denoise=0.0, corrections=None, sharpen=None, **sizes):
        def compute(mel, noise):
            self.entered += 1
            assert self.gate.wait(60.0)
            self.steps += 1
            if self.steps == self.shut_after:
                self.gate.clear()
            if self.fault is not None and pipeline.frames >= self.fault_at:
                raise self.fault
            return self._synthesize(0.5 if sigma is None else sigma, mel, noise)

        def draw(start, frames):
            return white_noise(seed or 0, start, frames, 1, self.hop_length)[None]

        path = MelPath(self.mel_config, self.mel_config)
        pipeline = Pipeline([Stage("x", (MEL, NOISE), compute, REACH, REACH)], draw)
        frames = sizes.get("chunk_frames", 64)
        first = sizes.get("first_chunk_frames", min(8, frames))
        chunks = ChunkSizes(self.model, frames, first)
        sharpening = sharpening_of(self.mel_config, torch.device("cpu"), strength=0.0)
        return StreamSession(pipeline, sharpening, StreamAdmission(path), chunks)

    def _synthesize(self, sigma, mel, noise):
        level = torch.tanh(mel.mean(dim=1, keepdim=True) / 10.0)
        smooth = functional.conv1d(level, torch.ones(1, 1, 2 * REACH + 1) / (2 * REACH + 1), padding=REACH)
        return 0.5 * smooth.repeat_interleave(self.hop_length, dim=2) + 0.02 * sigma * noise


def mel_of(frames, n_mels=80, seed=7):
    """Return a mel of plausible values with a slowly changing level."""
    generator = np.random.default_rng(seed)
    level = -5.0 + 3.0 * np.sin(np.arange(frames) / 9.0)
    return (level + generator.uniform(-1.0, 1.0, (n_mels, frames))).astype(np.float32)
