import math
import re
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from http_helpers import decode_with_ffmpeg, metrics
from recordings import mel_of as speech_mel
from stream_client import dial, synthesize
from streamers import Streamer, mel_of
from websockets.exceptions import ConnectionClosed

from server.audio.formats import STREAM_FORMATS
from server.stream import session
from vocoder.audio.resampling import resample
from vocoder.guard.guard import judge
from vocoder.mel.config import preset


def test_the_documented_websockets_client_works(url, streamer, tmp_path, monkeypatch):
    text = (Path(__file__).parents[3] / "docs" / "server.md").read_text(encoding="utf-8")
    (block,) = (part for part in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL) if "websockets.sync" in part)
    monkeypatch.chdir(tmp_path)
    np.save("mel.npy", mel_of(100))
    script = block.replace("ws://127.0.0.1:8000", url.replace("http", "ws", 1))
    exec(compile(script, "<python block of a document>", "exec"), {})
    x, sample_rate = soundfile.read("speech.wav")
    assert (len(x), sample_rate) == (100 * streamer.hop_length, streamer.sample_rate)


def test_messages_before_and_after_the_audio(url, streamer):
    with dial(url) as client:
        info = {"type": "ready", "model": "streamer", "model_dtype": "float32", "seed": 3, "format": "pcm"}
        mels = {"n_mels": 80, "layout": "(frames, n_mels)", "hop_length": 256}
        assert client.begin(seed=3) == info | {"sample_rate": 22050} | mels
        client.send(mel_of(40))
        client.end()
        audio, done = client.rest()
        assert np.abs(np.frombuffer(audio, "<i2") - 32767.0 * streamer.synthesize(mel_of(40), seed=3)).max() < 1.0
        info = {"type": "done", "frames": 40, "samples": 40 * 256, "clipped": 0, "sample_rate": 22050, "sharpened": 0.0}
        assert info.items() <= done.items()
        assert {"queue_seconds", "infer_seconds", "first_audio_seconds"} <= done.keys()
        assert client.closed() == (1000, "")
        counted = metrics(url)
    assert 'vocoder_requests_total{code="101",method="WEBSOCKET",route="/v1/stream"} 1.0' in counted
    assert 'vocoder_first_audio_seconds_count{route="/v1/stream"} 1.0' in counted
    assert 'vocoder_open_streams{route="/v1/stream"} 0.0' in counted
    assert 'vocoder_frames_total{model="streamer"} 40.0' in counted


def test_other_formats_and_rates_can_be_streamed(url, streamer):
    mel, rate = mel_of(100), 24000
    fields = resample(streamer.synthesize(mel, seed=2), 22050, rate)
    for offer in STREAM_FORMATS:
        if offer.encoding.container == "RAW":
            continue
        with dial(url) as client:
            audio, done = synthesize(client, mel, 9, format=offer.name, seed=2, sample_rate=rate)
        whole = offer.encode(fields, rate)
        assert done["samples"] == len(fields)
        np.testing.assert_allclose(decode_with_ffmpeg(audio)[0], decode_with_ffmpeg(whole.body)[0], atol=1e-4)


def test_half_precision_mels_and_random_seeds(url, streamer):
    mel = mel_of(20)
    with dial(url) as client:
        seed = client.begin(format="pcm_f32", dtype="float16")["seed"]
        client.connection.send(np.ascontiguousarray(mel.T, "<f2").tobytes())
        client.end()
        audio, _ = client.rest()
    fields = streamer.synthesize(mel.astype(np.float16).astype(np.float32), seed=seed)
    np.testing.assert_allclose(np.frombuffer(audio, "<f4"), fields, atol=1e-6)


NVIDIA = preset("nvidia")


@pytest.fixture
def mel():
    return speech_mel("nvidia").numpy()


def test_the_verdict_is_about_the_mel_as_sent(ready, streamer, mel):
    decimal = Streamer("decimal", replace(NVIDIA, name="decimal", log="log10"))
    with ready(streamer, decimal) as url:
        for sent_mel, cause in ((mel, "typical"), (mel / math.log(10.0), "log10")):
            for model, frames in ((streamer, 100), (streamer, 300), (decimal, 200)):  # judged at the end or earlier
                with dial(url) as client:
                    _, done = synthesize(client, sent_mel[:, :frames], 40, model=model.name, preset="nvidia")
                assert (done["guard"]["cause"], done["guard"]["typical"]) == (cause, cause == "typical")
                assert done["frames"] == frames


def test_nothing_is_heard_of_a_mel_that_is_refused(url, mel, monkeypatch):
    monkeypatch.setattr(session, "judge", lambda *given: time.sleep(0.2) or judge(*given))  # slower than the synthesis
    with dial(url) as client:
        client.begin(preset="nvidia", guard="strict")
        client.send(mel / math.log(10.0))
        client.end()
        audio, problem = client.rest()
    assert (len(audio), problem["guard"]["cause"], client.closed()) == (0, "log10", (4422, "unlikely-mel"))


def test_transposed_messages_are_rejected(url, streamer, mel):
    cosyvoice = speech_mel("cosyvoice2").numpy()  # unknown to the guard
    for name, mel, frames in (*(("nvidia", mel, n) for n in (7, 20, 80, 100, 300)), ("cosyvoice2", cosyvoice, 20)):
        with dial(url) as client:
            assert client.begin(preset=name)["layout"] == "(frames, n_mels)"
            with suppress(ConnectionClosed):  # it may be rejected while it is being sent
                for start in range(0, 300, frames):
                    client.connection.send(mel[:, start : min(start + frames, 300)].tobytes())
                client.end()
            audio, problem = client.rest()
            assert not audio or name != "nvidia" or frames < 16  # too few frames to notice before audio is sent
        assert client.closed() == (4422, "invalid-mel")
        assert all(phrase in problem["detail"] for phrase in ("look transposed", "(frames, 80)"))
