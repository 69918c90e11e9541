"""Mels of other conventions on a WebSocket, frame by frame."""

import numpy as np
import torch
from speaker import speak

from vocoder.adapt.path import path_between
from vocoder.mel.config import preset

NVIDIA = preset("nvidia")


def mel_of(name, frames):
    config, generator = preset(name), np.random.default_rng(5)
    low = np.log10(config.floor) / 2 if config.log == "log10" else -5.0
    return (low + generator.uniform(-1.0, 1.0, (config.n_mels, frames))).astype(np.float32)


def test_frames_are_adapted_as_they_come(talk, streamer):
    with talk(streamer, guard="off") as dial:
        for name in ("espnet", "vocos", "speecht5", "hifigan"):
            mel, path = mel_of(name, 100), path_between(preset(name), NVIDIA)
            whole = streamer.synthesize(path.convert(torch.from_numpy(mel)).numpy(), seed=3)
            expected = path.placed(torch.from_numpy(whole)[None], 100)[0].numpy()
            for size in (1, 50):
                with dial() as speaker:
                    speaker.hello(preset=name, seed=3, format="pcm_f32")
                    ready = speaker.text()
                    assert ready["n_mels"] == mel.shape[0]
                    assert (ready["adapted"], ready["adapter_lookahead"]) == (path.adapted, path.lookahead)
                    speaker.send(mel, size)
                    speaker.end()
                    audio, done = speaker.rest()
                np.testing.assert_allclose(np.frombuffer(audio, "<f4"), expected, atol=1e-5)
                assert (done["frames"], done["samples"]) == (100, path.samples(100))
                assert (done["preset"], done["adapted"]) == (name, path.adapted)


def test_statistics_come_as_numbers(talk, streamer):
    mel = mel_of("espnet", 70)
    mean, variance = np.full(80, -4.0), np.full(80, 4.0)
    given = {"preset": "espnet", "mean": mean.tolist(), "variance": variance.tolist(), "seed": 3, "format": "pcm_f32"}
    with talk(streamer, guard="off") as dial:
        with dial() as speaker:
            plain, _ = speak(speaker, mel, 70, preset="espnet", seed=3, format="pcm_f32")
        with dial() as speaker:
            audio, _ = speak(speaker, (mel + 4.0) / 2.0, 70, **given)
    np.testing.assert_allclose(np.frombuffer(audio, "<f4"), np.frombuffer(plain, "<f4"), atol=1e-5)
