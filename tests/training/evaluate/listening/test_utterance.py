from __future__ import annotations

import base64
import io

import numpy as np
import soundfile
from matplotlib.image import imread

from training.evaluate.listening.utterance import difference_picture, flac_uri, spectrogram_picture

RATE = 22050


def payload(uri: str, media_type: str) -> io.BytesIO:
    head, data = uri.split(",")
    assert head == f"data:{media_type};base64"
    return io.BytesIO(base64.b64decode(data))


def tone(hertz: float, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)).astype(np.float32)


def test_audio_survives_to_the_last_of_16_bits_and_carries_no_tags() -> None:
    x = tone(440.0)
    with soundfile.SoundFile(payload(flac_uri(x, RATE), "audio/flac")) as file:
        assert file.samplerate == RATE
        assert file.copy_metadata() == {}
        assert np.abs(file.read(dtype="float32") - x).max() <= 1 / 32768


def test_a_tone_is_bright_at_its_height_only() -> None:
    picture = imread(payload(spectrogram_picture(tone(2756.25), tone(2756.25)), "image/png"))[..., :3].mean(axis=(1, 2))
    assert len(picture) == 256
    assert abs(int(picture.argmax()) - (255 - 64)) <= 1  # 2756 Hz is a quarter of the way up
    assert picture[:128].max() < 0.2


def test_differences_are_red_where_louder_blue_where_softer_and_white_where_equal() -> None:
    original = tone(2756.25)

    def colour(x: np.ndarray) -> np.ndarray:
        return imread(payload(difference_picture(x, original), "image/png"))[255 - 64, 40, :3]

    assert colour(original).min() > 0.9
    louder, softer = colour(3 * original), colour(original / 3)
    assert louder[0] > louder[2] + 0.2
    assert softer[2] > softer[0] + 0.2
