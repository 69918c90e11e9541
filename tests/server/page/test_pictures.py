"""The pictures show the sound: their transforms agree with numpy, and the colours are where they belong."""

from __future__ import annotations

import base64
import io
from itertools import product
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


def test_the_spectra_agree_with_numpy(visit: Any, fake: Any) -> None:
    generator = np.random.default_rng(5)
    one, other = (generator.standard_normal(900).astype(np.float32) for _ in range(2))
    with visit(fake) as person:
        found = person.page.evaluate(
            """async ([one, other]) => {
              const { spectrogram, difference } = await import("/page/js/fft.js");
              const [a, b] = [one, other].map((x) => spectrogram(Float32Array.from(x), 256, 100));
              const c = difference(a, b, -20, { frames: 3, bins: 5 });
              return { a: [...a.levels], c: [...c.levels], mean: c.mean, frames: a.frames, bins: a.bins };
            }""",
            [one.tolist(), other.tolist()],
        )
    assert (found["frames"], found["bins"]) == (10, 129)
    levels = [_levels(x, 256, 100) for x in (one, other)]
    np.testing.assert_allclose(np.reshape(found["a"], (10, 129)), levels[0], atol=1e-3)
    smooth = [np.maximum(_smooth(level, 3, 5), -20.0) for level in levels]
    np.testing.assert_allclose(np.reshape(found["c"], (10, 129)), smooth[0] - smooth[1], atol=1e-3)
    audible = np.maximum(*smooth) > -20.0
    assert found["mean"] == pytest.approx(np.abs(smooth[0] - smooth[1])[audible].mean(), abs=1e-4)


def _levels(x: Any, n_fft: int, hop: int) -> Any:
    padded = np.pad(x.astype(np.float64), n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop][: 1 + len(x) // hop]
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(n_fft) / n_fft)
    return 20.0 * np.log10(np.maximum(4.0 / n_fft * np.abs(np.fft.rfft(window * frames)), 1e-7))


def _smooth(levels: Any, frames: int, bins: int) -> Any:
    power = 10.0 ** (levels / 10.0)
    half_frames, half_bins = frames // 2, bins // 2
    return 10.0 * np.log10(
        [
            [
                power[max(i - half_frames, 0) : i + half_frames + 1, max(k - half_bins, 0) : k + half_bins + 1].mean()
                for k in range(power.shape[1])
            ]
            for i in range(power.shape[0])
        ]
    )


def test_mels_are_read_as_numpy_wrote_them(visit: Any, fake: Any, npy: Any) -> None:
    script = """async (bytes) => {
      const { readNpy } = await import("/page/js/npy.js");
      const mel = await readNpy(new Blob([Uint8Array.from(bytes)]));
      return [mel.nMels, mel.frames, ...mel.values];
    }"""
    with visit(fake) as person:
        for dtype, order in product(("<f2", "<f4", "<f8"), "CF"):
            mel = np.random.default_rng(3).standard_normal((3, 5)).astype(dtype)
            mel[0, :3] = 0.0, 3.0e-7, -2.0  # the second is subnormal in 16 bits
            found = person.page.evaluate(script, list(npy(np.asarray(mel, order=order))))
            assert found[:2] == [3, 5]
            np.testing.assert_array_equal(np.float32(found[2:]).reshape(3, 5), mel.astype(np.float32))
