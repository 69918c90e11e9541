import socket
import threading
import time
from functools import partial

import numpy as np
import pytest
import torch
from answers import TIMEOUT
from streamers import mel_of

from vocoder.client import IncompleteError, async_client


def test_a_stream_of_a_whole_mel_of_pieces_or_of_frames(reach, streamer):
    mel = mel_of(600)
    pieces = (mel[:, start : start + 70] for start in range(0, 600, 70))
    with reach(streamer) as client_of, client_of() as client:
        for given in (mel, torch.from_numpy(mel), pieces, iter(mel.T)):
            with client.stream(given, seed=4) as speech:
                assert (speech.start.sample_rate, speech.start.seed, speech.start.hop_length) == (22050, 4, 256)
                chunks = list(speech)
                assert len(chunks) > 5
                np.testing.assert_allclose(np.concatenate(chunks), streamer.synthesize(mel, seed=4), atol=1e-6)
                assert (speech.end.frames, speech.end.samples) == (600, 600 * 256)
                assert (speech.end.guard.typical, speech.end.guard.cause) == (False, "not-speech")
                assert list(speech) == []


def test_audio_comes_while_frames_are_made(reach, streamer):
    mel, heard = mel_of(60), threading.Event()

    def frames():
        yield from mel[:, :11].T
        assert heard.wait(TIMEOUT)
        yield mel[:, 11:]

    with reach(streamer) as client_of, client_of() as client, client.stream(frames(), seed=1) as speech:
        chunks = []
        for chunk in speech:
            chunks.append(chunk)
            heard.set()
    np.testing.assert_allclose(np.concatenate(chunks), streamer.synthesize(mel, seed=1), atol=1e-6)


def test_who_listens_slowly_hears_all(reach, streamer, monkeypatch):
    impatient = partial(async_client.connect, ping_interval=0.05, ping_timeout=0.05)
    monkeypatch.setattr(async_client, "connect", impatient)
    mel = mel_of(4000)
    with reach(streamer) as client_of, client_of() as client, client.stream(mel, seed=1) as speech:
        chunks = [next(iter(speech))]
        time.sleep(0.4)  # for which pongs wait behind audio
        chunks += list(speech)
    assert sum(map(len, chunks)) == 4000 * 256


def test_what_the_frames_raise_is_raised_where_audio_is_read(reach, streamer):
    def frames():
        yield mel_of(5)
        raise KeyError("the acoustic model failed")

    with (
        reach(streamer) as client_of,
        client_of() as client,
        client.stream(frames()) as speech,
        pytest.raises(KeyError, match="acoustic model"),
    ):
        list(speech)


def test_pieces_of_another_shape_are_refused(reach, streamer):
    wrong = {
        r"is \(80,\) or \(80, frames\), not \(1, 80, 5\)$": np.zeros((1, 80, 5)),
        r"not \(5, 80\); it looks transposed": np.zeros((5, 80)),
        r"not \(81,\)$": np.zeros(81),
    }
    with reach(streamer) as client_of, client_of() as client:
        for text, piece in wrong.items():
            for given in (piece, [piece]):
                with client.stream(given) as speech, pytest.raises(ValueError, match=text):
                    list(speech)


def test_a_stream_that_is_cut_off_is_not_the_end(reach, streamer):
    more = threading.Event()

    def frames():
        yield mel_of(20)
        more.wait(TIMEOUT)

    with reach(streamer) as client_of, client_of() as client, client.stream(frames()) as speech:
        chunks = iter(speech)
        assert len(next(chunks)) == 8 * 256
        speech._stream._connection.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        with pytest.raises(IncompleteError, match="before all of its audio"):
            list(chunks)
        more.set()
