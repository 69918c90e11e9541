import math
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from answers import metrics
from hearing import heard
from recordings import mel_of as recorded
from speaker import speak
from streamers import Streamer, mel_of
from websockets.exceptions import ConnectionClosed

from server.audio.formats import STREAM_FORMATS
from vocoder.audio.resampling import resample
from vocoder.mel.config import preset


def test_the_documented_client_of_websockets_alone(talk, streamer, tmp_path, monkeypatch):
    text = (Path(__file__).parents[3] / "docs" / "server.md").read_text(encoding="utf-8")
    (block,) = (part for part in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) if "websockets.sync" in part)
    monkeypatch.chdir(tmp_path)
    np.save("mel.npy", mel_of(100))
    with talk(streamer) as dial:
        script = block.replace("ws://127.0.0.1:8000", dial.url.replace("http", "ws", 1))
        exec(compile(script, "<python block of a document>", "exec"), {})
    x, sample_rate = soundfile.read("speech.wav")
    assert (len(x), sample_rate) == (100 * streamer.hop_length, streamer.sample_rate)


def test_what_is_said_before_and_after_the_audio(talk, streamer):
    with talk(streamer) as dial, dial() as speaker:
        told = {"type": "ready", "model": "streamer", "model_dtype": "float32", "seed": 3, "format": "pcm"}
        mels = {"n_mels": 80, "layout": "(frames, n_mels)", "hop_length": 256}
        assert speaker.begin(seed=3) == told | {"sample_rate": 22050} | mels
        speaker.send(mel_of(40))
        speaker.end()
        audio, done = speaker.rest()
        assert np.abs(np.frombuffer(audio, "<i2") - 32767.0 * streamer.synthesize(mel_of(40), seed=3)).max() < 1.0
        told = {"type": "done", "frames": 40, "samples": 40 * 256, "clipped": 0, "sample_rate": 22050, "sharpened": 0.0}
        assert told.items() <= done.items()
        assert {"queue_seconds", "infer_seconds", "first_audio_seconds"} <= done.keys()
        assert speaker.closed() == (1000, "")
        counted = metrics(dial.url)
    assert 'vocoder_requests_total{code="101",method="WEBSOCKET",route="/v1/stream"} 1.0' in counted
    assert 'vocoder_first_audio_seconds_count{route="/v1/stream"} 1.0' in counted
    assert 'vocoder_open_streams{route="/v1/stream"} 0.0' in counted
    assert 'vocoder_frames_total{model="streamer"} 40.0' in counted


def test_other_formats_and_rates(talk, streamer):
    mel, rate = mel_of(100), 24000
    expected = resample(streamer.synthesize(mel, seed=2), 22050, rate)
    with talk(streamer) as dial:
        for offer in STREAM_FORMATS:
            if offer.encoding.container == "RAW":
                continue
            with dial() as speaker:
                audio, done = speak(speaker, mel, 9, format=offer.name, seed=2, sample_rate=rate)
            whole = offer.encode(expected, rate)
            assert done["samples"] == len(expected)
            np.testing.assert_allclose(heard(audio)[0], heard(whole.body)[0], atol=1e-4)


def test_half_precision_and_a_seed_that_is_drawn(talk, streamer):
    mel = mel_of(20)
    with talk(streamer) as dial, dial() as speaker:
        seed = speaker.begin(format="pcm_f32", dtype="float16")["seed"]
        speaker.connection.send(np.ascontiguousarray(mel.T, "<f2").tobytes())
        speaker.end()
        audio, _ = speaker.rest()
    expected = streamer.synthesize(mel.astype(np.float16).astype(np.float32), seed=seed)
    np.testing.assert_allclose(np.frombuffer(audio, "<f4"), expected, atol=1e-6)


NVIDIA = preset("nvidia")


@pytest.fixture
def mel():
    return recorded("nvidia").numpy()


def test_the_last_message_tells_of_what_is_sent_not_of_what_is_made_of_it(talk, streamer, mel):
    decimal = Streamer("decimal", replace(NVIDIA, name="decimal", log="log10"))
    with talk(streamer, decimal) as dial:
        for given, cause in ((mel, "typical"), (mel / math.log(10.0), "log10")):
            for model, frames in ((streamer, 100), (streamer, 300), (decimal, 200)):  # judged at its end, or before
                with dial() as speaker:
                    _, done = speak(speaker, given[:, :frames], 40, model=model.name, preset="nvidia")
                assert (done["guard"]["cause"], done["guard"]["typical"]) == (cause, cause == "typical")
                assert done["frames"] == frames


def test_messages_of_bands_instead_of_frames_are_refused(talk, streamer, mel):
    with talk(streamer) as dial:
        cosyvoice = recorded("cosyvoice2").numpy()  # which the guard does not know
        for name, mel, frames in (*(("nvidia", mel, n) for n in (7, 20, 80, 100, 300)), ("cosyvoice2", cosyvoice, 20)):
            with dial() as speaker:
                assert speaker.begin(preset=name)["layout"] == "(frames, n_mels)"
                with suppress(ConnectionClosed):  # it may be refused before it has been sent
                    for start in range(0, 300, frames):
                        speaker.connection.send(mel[:, start : min(start + frames, 300)].tobytes())
                    speaker.end()
                audio, problem = speaker.rest()
                assert not audio or name != "nvidia" or frames < 16  # too few to tell before there is audio
            assert speaker.closed() == (4422, "invalid-mel")
            assert all(words in problem["detail"] for words in ("look transposed", "(frames, 80)"))
