"""Mels of other conventions, through the client."""

import numpy as np
import pytest

from vocoder.client import InvalidRequestError


def espnet_mel(frames):
    return np.random.default_rng(3).uniform(-6.0, -1.0, (80, frames)).astype(np.float32)


def test_answers_name_the_adapter(reach, streamer):
    mel = espnet_mel(90)
    with reach(streamer, guard="off") as client_of, client_of() as client:
        speech = client.synthesize(mel, preset="espnet", seed=1, corrections=0)
        assert (speech.adapted, len(speech.x)) == ("espnet", 90 * 256)
        pieces = (mel[:, i : i + 20] for i in range(0, 90, 20))
        with client.stream(pieces, preset="espnet", seed=1, corrections=0) as stream:
            x = np.concatenate(list(stream))
        assert (stream.start.adapted, stream.end.frames) == ("espnet", 90)
        np.testing.assert_allclose(x, speech.x, atol=1e-5)
        shifted = client.synthesize(np.maximum(mel, -11.0), preset="hifigan", seed=1)
        assert shifted.adapted is None
        assert not shifted.x[:128].any()
        with pytest.raises(InvalidRequestError, match="f_min is 80"):
            client.synthesize(mel, preset="espnet", adapt="off")


def test_statistics_travel_with_the_mel(reach, streamer):
    mel, mean, variance = espnet_mel(60), np.full(80, -3.0), np.full(80, 4.0)
    normalised, given = (mel + 3.0) / 2.0, {"mean": mean, "variance": variance.tolist()}
    with reach(streamer, guard="off") as client_of, client_of() as client:
        plain = client.synthesize(mel, preset="espnet", seed=1).x
        np.testing.assert_allclose(client.synthesize(normalised, preset="espnet", seed=1, **given).x, plain, atol=1e-4)
        with client.stream(normalised, preset="espnet", seed=1, **given) as stream:
            np.testing.assert_allclose(np.concatenate(list(stream)), plain, atol=1e-4)
