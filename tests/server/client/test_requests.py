import asyncio
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from http_helpers import TIMEOUT, encoded
from streamers import Streamer, mel_of

from vocoder import MelSpectrogram
from vocoder.audio.resampling import resample
from vocoder.client import (
    AsyncClient,
    AuthenticationError,
    Client,
    IncompleteError,
    InvalidRequestError,
    NoAnswerError,
    ServerError,
    UnknownModelError,
    async_client,
)
from vocoder.mel.config import MelWarning, preset

TONE = (0.3 * np.sin(np.arange(22050) / 20.0)).astype(np.float32)
pytestmark = pytest.mark.filterwarnings("ignore::vocoder.MelWarning")  # the mels are artificial


@pytest.fixture
def client(ready, streamer):
    with ready(streamer) as url, Client(url, trust_env=False) as client:
        yield client


def test_a_whole_mel_is_synthesized(client, streamer):
    mel = mel_of(50)
    speech = client.synthesize(mel, seed=3, sigma=0.2)
    np.testing.assert_array_equal(speech.x, streamer.synthesize(mel, seed=3, sigma=0.2))
    assert (speech.sample_rate, speech.model, speech.seed) == (22050, "streamer", 3)
    random_seed = client.synthesize(torch.from_numpy(mel).double().requires_grad_(), sample_rate=16000)
    assert random_seed.sample_rate == 16000
    expected = resample(streamer.synthesize(mel, seed=random_seed.seed), 22050, 16000)
    np.testing.assert_allclose(random_seed.x, expected, atol=1e-6)


def test_guard_modes_and_the_list_of_models(ready, streamer):
    with ready(streamer, Streamer("模型")) as url, Client(url, trust_env=False) as client:
        with pytest.warns(MelWarning, match="does not look like speech") as told:
            verdict = client.synthesize(mel_of(100)).guard
        with client.stream(mel_of(100)) as speech, pytest.warns(MelWarning) as streamed:
            list(speech)
        assert [warning.filename for warning in (*told, *streamed)] == [__file__, __file__]
        assert (verdict.typical, verdict.cause, verdict.typicality >= 0.0) == (False, "not-speech", True)
        assert client.synthesize(mel_of(100), guard="off").guard is None
        with pytest.raises(InvalidRequestError, match="does not look like speech"):
            client.synthesize(mel_of(100), guard="strict")
        models = client.models()
        assert [(model.name, model.state) for model in models] == [("streamer", "ready"), ("模型", "ready")]
        assert (models[0].mel_config, models[0].details["limits"]["max_frames"]) == (streamer.mel_config, 4096)
        assert client.synthesize(mel_of(5), model="模型").model == "模型"


def test_the_server_computes_mels_of_audio(client, tmp_path):
    content, path = encoded(TONE, subtype="FLOAT"), tmp_path / "tone.wav"
    path.write_bytes(content)
    expected = MelSpectrogram(preset("nvidia"))(torch.from_numpy(TONE)[None])[0].numpy()
    for source in (path, str(path), content):
        np.testing.assert_allclose(client.mel(source), expected, atol=1e-5)
    np.testing.assert_allclose(client.mel(TONE, 22050, model="streamer"), expected, atol=1e-5)
    integers = client.mel((TONE * 32768).astype(np.int16), 22050)
    np.testing.assert_allclose(integers[expected > -3.0], expected[expected > -3.0], atol=0.05)
    assert client.mel(TONE, 22050, preset="vocos").shape[0] == 100
    with pytest.raises(ValueError, match="sample_rate"):
        client.mel(TONE)


def test_errors_have_specific_types(client, streamer):
    with pytest.raises(InvalidRequestError, match="transposed") as error:
        client.synthesize(mel_of(12).T)
    assert (error.value.problem.name, error.value.problem.request_id != "") == ("invalid-mel", True)
    with pytest.raises(UnknownModelError, match="streamer"):
        client.synthesize(mel_of(5), model="nobody")
    with pytest.raises(UnknownModelError, match="streamer"), client.stream(mel_of(5), model="nobody"):
        pass
    with pytest.raises(InvalidRequestError, match="f_min is 80"):
        client.synthesize(mel_of(5), preset="espnet", adapt="off")
    with pytest.raises(TypeError, match="temperature"):
        client.synthesize(mel_of(5), temperature=1.0)
    with client.stream(mel_of(5) * np.nan) as speech, pytest.raises(InvalidRequestError, match="finite"):
        list(speech)
    streamer.fault = RuntimeError("secret")
    with client.stream(mel_of(5)) as speech, pytest.raises(ServerError, match="synthesis-failed"):
        list(speech)


def test_api_keys_are_sent(ready, streamer, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("alice:open-sesame-1234567\n")
    with ready(streamer, api_keys_file=keys) as url:
        with Client(url, trust_env=False) as client:
            with pytest.raises(AuthenticationError, match="API key"):
                client.models()
            with pytest.raises(AuthenticationError, match="API key"), client.stream(mel_of(5)):
                pass
        with Client(url, trust_env=False, api_key="open-sesame-1234567") as client:
            assert client.synthesize(mel_of(5)).model == "streamer"
            with client.stream(mel_of(5)) as speech:
                assert sum(map(len, speech)) == 5 * 256


def test_an_unreachable_server_raises_no_answer_error(monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with Client(url, trust_env=False) as client:
        with pytest.raises(NoAnswerError, match=r"http\S+ did not answer: "):
            client.models()
        with pytest.raises(NoAnswerError, match="could not be reached"), client.stream(mel_of(5)):
            pass
    monkeypatch.setenv("http_proxy", url)
    with Client(url) as client, pytest.raises(NoAnswerError, match=r"\(through a proxy of the environment\?\)$"):
        client.models()
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1")
    with pytest.raises(ValueError, match=r"install httpx\[socks\]"):
        Client(url)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_invalid_arguments_are_rejected_before_sending(kind):
    with pytest.raises(ValueError, match=r"must start with http: or https:, not '127\.0\.0\.1:8000'"):
        kind("127.0.0.1:8000")
    for key in ("schl\u00fcssel", "a\nb", " padded7 ", ""):
        with pytest.raises(ValueError, match="must be printable ASCII") as error:
            kind("http://127.0.0.1:1", api_key=key)
        assert len(key) < 2 or key not in str(error.value)
    with Client("http://127.0.0.1:1") as client, pytest.raises(TypeError, match=r"give np\.load\('mel\.npy'\)"):
        client.synthesize("mel.npy")


def test_closed_and_forked_clients_raise_errors_and_leave_no_threads(monkeypatch):
    before = threading.active_count()
    with Client("http://127.0.0.1:1", trust_env=False) as client:
        assert threading.active_count() == before + 1
        client.close()  # as the end of the block does again
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="has been closed"):
        client.models()
    with Client("http://127.0.0.1:1", trust_env=False) as client, monkeypatch.context() as patch:
        patch.setattr("os.getpid", lambda: -1)
        with pytest.raises(RuntimeError, match="create one after fork"):
            client.models()
    unclosed = Client("http://127.0.0.1:1", trust_env=False)
    del unclosed
    assert threading.active_count() == before


DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "server.md"


def test_the_documented_example_runs(ready, streamer, tmp_path, monkeypatch, capsys):
    section = DOCUMENT.read_text(encoding="utf-8").split("## The Python client", 1)[1]
    block = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)[0]
    monkeypatch.chdir(tmp_path)
    np.save("mel.npy", mel_of(40))
    names = {}
    with ready(streamer) as url:
        exec(compile(block.replace("http://127.0.0.1:8000", url), "<example in docs/server.md>", "exec"), names)
    np.testing.assert_allclose(names["speech"].x, streamer.synthesize(mel_of(40), seed=7))
    assert names["again"].shape == (80, 41)
    assert names["config"] == streamer.mel_config
    assert capsys.readouterr().out.startswith("2048 samples at 22050 Hz\n")


def test_a_stream_takes_a_whole_mel_pieces_or_frames(client, streamer):
    mel = mel_of(600)
    pieces = (mel[:, start : start + 70] for start in range(0, 600, 70))
    for source in (mel, torch.from_numpy(mel), pieces, iter(mel.T)):
        with client.stream(source, seed=4) as speech:
            assert (speech.start.sample_rate, speech.start.seed, speech.start.hop_length) == (22050, 4, 256)
            chunks = list(speech)
            assert len(chunks) > 5
            np.testing.assert_allclose(np.concatenate(chunks), streamer.synthesize(mel, seed=4), atol=1e-6)
            assert (speech.end.frames, speech.end.samples) == (600, 600 * 256)
            assert (speech.end.guard.typical, speech.end.guard.cause) == (False, "not-speech")
            assert list(speech) == []


def test_audio_arrives_while_frames_are_generated(client, streamer):
    mel, received = mel_of(60), threading.Event()

    def frames():
        yield from mel[:, :11].T
        assert received.wait(TIMEOUT)
        yield mel[:, 11:]

    with client.stream(frames(), seed=1) as speech:
        chunks = []
        for chunk in speech:
            chunks.append(chunk)
            received.set()
    np.testing.assert_allclose(np.concatenate(chunks), streamer.synthesize(mel, seed=1), atol=1e-6)


def test_slow_readers_receive_all_audio(client, monkeypatch):
    impatient = partial(async_client.connect, ping_interval=0.05, ping_timeout=0.05)
    monkeypatch.setattr(async_client, "connect", impatient)
    mel = mel_of(4000)
    with client.stream(mel, seed=1) as speech:
        chunks = [next(iter(speech))]
        time.sleep(0.4)  # pongs wait behind audio for that long
        chunks += list(speech)
    assert sum(map(len, chunks)) == 4000 * 256


def test_a_stream_that_is_left_and_a_client_that_is_closed_end_at_once(client, wait_until):
    started = time.monotonic()
    with client.stream(mel_of(4000)) as speech:
        next(iter(speech))
        time.sleep(0.5)  # then more audio waits than is read ahead
    assert time.monotonic() - started < 8.0  # a close would wait for ten seconds
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client._loop.run, asyncio.sleep(TIMEOUT))
        wait_until(lambda: client._loop._calls)
        client.close()
        with pytest.raises(RuntimeError, match="has been closed"):
            waiting.result()


def test_errors_in_the_frames_are_raised_where_audio_is_read(client):
    def frames(error):
        yield mel_of(5)
        raise error("the acoustic model failed")

    invalid = {
        r"be \(80,\) or \(80, frames\), not \(1, 80, 5\)$": np.zeros((1, 80, 5)),
        r"not \(5, 80\); it looks transposed": np.zeros((5, 80)),
        r"not \(81,\)$": np.zeros(81),
        r"give np\.load\('mel\.npy'\)$": "mel.npy",
    }
    for error, raised in ((KeyError, KeyError), (SystemExit, RuntimeError)):
        with client.stream(frames(error)) as speech, pytest.raises(raised, match="acoustic model"):
            list(speech)
    for text, piece in invalid.items():
        for source in (piece, [piece]):
            with client.stream(source) as speech, pytest.raises((ValueError, TypeError), match=text):
                list(speech)


def test_an_interrupted_stream_raises_incomplete_error(client):
    more = threading.Event()

    def frames():
        yield mel_of(20)
        more.wait(TIMEOUT)

    with client.stream(frames()) as speech:
        chunks = iter(speech)
        assert len(next(chunks)) == 8 * 256
        speech._stream._connection.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        with pytest.raises(IncompleteError, match="before all of its audio"):
            list(chunks)
        more.set()
