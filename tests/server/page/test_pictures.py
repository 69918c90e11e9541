"""The pictures show the sound: their transforms agree with numpy, and the colours are where they belong."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread


def colours(canvas: Any) -> Any:
    """The pixels (height, width, 3) of a canvas."""
    address = canvas.evaluate("canvas => canvas.toDataURL('image/png')")
    png = base64.b64decode(address.partition(",")[2])
    return np.round(255.0 * imread(io.BytesIO(png), format="png")[:, :, :3]).astype(int)


def test_the_pictures_show_the_sound(visit: Any, fake: Any, wav: Any, tone: Any) -> None:
    sample_rate = fake.sample_rate
    x = np.concatenate([np.zeros(sample_rate), tone(1.0, 0.75 * sample_rate / 2.0)])
    with visit(fake) as person:
        person.upload("late.wav", wav(x))
        card = person.clip("Original")
        pixels = colours(card.get_by_role("img", name="Spectrogram")).sum(axis=2)[
            1:-19, 43:-1
        ]  # without axes and frame
        bright = np.argwhere(pixels > 600)
        rows, columns = bright.mean(axis=0) / pixels.shape
        assert (rows, columns) == pytest.approx((0.25, 0.75), abs=0.02)  # the top quarter's edge, the second half
        wave = colours(card.get_by_role("img", name="Waveform"))[:, 42:]
        inked = (wave == [59, 82, 139]).all(axis=2).sum(axis=0)
        assert inked[: len(inked) // 2 - 2].max() <= 1
        assert inked[len(inked) // 2 + 2 : -2].min() > 0.8 * wave.shape[0]
