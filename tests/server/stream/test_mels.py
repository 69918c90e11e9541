import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from recordings import mel_of
from speaker import speak
from streamers import Streamer

from vocoder.adapt.path import path_between
from vocoder.mel.config import preset

NVIDIA = preset("nvidia")


def noise_of(name, frames):
    config, generator = preset(name), np.random.default_rng(5)
    low = np.log10(config.floor) / 2 if config.log == "log10" else -5.0
    return (low + generator.uniform(-1.0, 1.0, (config.n_mels, frames))).astype(np.float32)


def test_frames_are_adapted_as_they_come(talk, streamer):
    with talk(streamer, guard="off") as dial:
        for name in ("espnet", "vocos", "speecht5", "hifigan"):
            mel, path = noise_of(name, 100), path_between(preset(name), NVIDIA)
            whole = streamer.synthesize(path.convert(torch.from_numpy(mel)).numpy(), seed=3)
            expected = path.placed(torch.from_numpy(whole)[None], 100)[0].numpy()
            for size in (1, 50):
                with dial() as speaker:
                    ready = speaker.begin(preset=name, seed=3, format="pcm_f32")
                    assert ready["n_mels"] == mel.shape[0]
                    assert (ready["adapted"], ready["adapter_lookahead"]) == (path.adapted, path.lookahead)
                    speaker.send(mel, size)
                    speaker.end()
                    audio, done = speaker.rest()
                np.testing.assert_allclose(np.frombuffer(audio, "<f4"), expected, atol=1e-5)
                assert (done["frames"], done["samples"]) == (100, path.samples(100))
                assert (done["preset"], done["adapted"]) == (name, path.adapted)


def test_statistics_come_as_numbers(talk, streamer):
    mel = noise_of("espnet", 70)
    mean, variance = np.full(80, -4.0), np.full(80, 4.0)
    given = {"preset": "espnet", "mean": mean.tolist(), "variance": variance.tolist(), "seed": 3, "format": "pcm_f32"}
    with talk(streamer, guard="off") as dial:
        with dial() as speaker:
            plain, _ = speak(speaker, mel, 70, preset="espnet", seed=3, format="pcm_f32")
        with dial() as speaker:
            audio, _ = speak(speaker, (mel + 4.0) / 2.0, 70, **given)
    np.testing.assert_allclose(np.frombuffer(audio, "<f4"), np.frombuffer(plain, "<f4"), atol=1e-5)


@pytest.fixture
def mel():
    return mel_of("nvidia").numpy()


def test_the_last_message_tells_of_what_is_sent_not_of_what_is_made_of_it(talk, streamer, mel):
    decimal = Streamer("decimal", replace(NVIDIA, name="decimal", log="log10"))
    with talk(streamer, decimal) as dial:
        for given, cause in ((mel, "typical"), (mel / math.log(10.0), "log10")):
            for model, frames in ((streamer, 100), (streamer, 300), (decimal, 200)):  # judged at its end, or before
                with dial() as speaker:
                    _, done = speak(speaker, given[:, :frames], 40, model=model.name, preset="nvidia")
                assert (done["guard"]["cause"], done["guard"]["typical"]) == (cause, cause == "typical")
                assert done["frames"] == frames


def test_strict_refuses_before_the_mel_has_ended(talk, streamer, mel):
    with talk(streamer) as dial, dial() as speaker:
        speaker.begin(guard="strict")
        speaker.send(mel[:, :130] / math.log(10.0), 50)
        problem, code, name = speaker.refusal()
        assert problem["type"].endswith("unlikely-mel")
        assert problem["guard"]["cause"] == "log10"
        assert (code, name) == (4422, "unlikely-mel")


def test_messages_of_bands_instead_of_frames_are_refused(talk, streamer, mel):
    with talk(streamer) as dial:
        cosyvoice = mel_of("cosyvoice2").numpy()  # which the guard does not know
        for name, mel, frames in (*(("nvidia", mel, n) for n in (7, 20, 80, 100, 300)), ("cosyvoice2", cosyvoice, 20)):
            with dial() as speaker:
                assert speaker.begin(preset=name)["layout"] == "(frames, n_mels)"
                for start in range(0, 300, frames):
                    speaker.connection.send(mel[:, start : min(start + frames, 300)].tobytes())
                speaker.end()
                problem, code, name = speaker.refusal()
            assert (code, name) == (4422, "invalid-mel")
            assert "look transposed" in problem["detail"]
            assert "(frames, 80)" in problem["detail"]
