"""The pictures show the sound: their transforms agree with numpy, and the colours are where they belong."""

import base64
import io

import numpy as np
import pytest
from matplotlib.image import imread


def colours(canvas):
    """The pixels (height, width, 4) of a canvas."""
    address = canvas.evaluate("canvas => canvas.toDataURL('image/png')")
    png = base64.b64decode(address.partition(",")[2])
    return np.round(255.0 * imread(io.BytesIO(png), format="png")).astype(int)


def test_the_pictures_show_the_sound(visit, fake, wav, tone):
    sample_rate = fake.sample_rate
    x = np.concatenate([np.zeros(sample_rate), tone(1.0, 0.75 * sample_rate / 2.0)])
    with visit(fake) as person:
        person.upload("late.wav", wav(x))
        card = person.clip("Original")
        pixels = colours(card.get_by_role("img", name="Spectrogram"))[:, :, :3].sum(axis=2)
        rows, columns = np.argwhere(pixels > 600).mean(axis=0) / pixels.shape
        assert (rows, columns) == pytest.approx((0.25, 0.75), abs=0.02)  # the top quarter's edge, the second half
        wave = colours(card.get_by_role("img", name="Waveform"))
        inked = (wave[:, :, 3] > 128).sum(axis=0)
        assert inked[: len(inked) // 2 - 2].max() <= 2
        assert inked[len(inked) // 2 + 2 : -2].min() > 0.4 * wave.shape[0]  # half of full scale
