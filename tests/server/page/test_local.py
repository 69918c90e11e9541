"""Models that run in the browser: the same mels and samples as the server's."""

from __future__ import annotations

import io
import json
import os
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
import torch

import vocoder
from vocoder.audio.info import audio_info
from vocoder.audio.origin import Origin
from vocoder.config import to_dict
from vocoder.mel.config import MelConfig
from vocoder.mel.spectrogram import MelSpectrogram, mel_filterbank
from vocoder.noise import white_noise

PAGE_COPY = os.environ.get("PAGE_COPY")
needs_copy = pytest.mark.skipif(not PAGE_COPY or not Path(PAGE_COPY).is_dir(), reason="make browser-test writes a copy")
HALF_STEP = 0.5 / 32768.0
SLOWNESS = 300_000.0  # milliseconds that a model may take


def test_the_noise_is_normal(visit: Any, fake: Any) -> None:
    script = """async () => {
      const { noise } = await import("/page/js/noise.js");
      return [...noise(100000, 0.5)];
    }"""
    with visit(fake) as person:
        found = np.array(person.page.evaluate(script)) / 0.5
    assert np.isfinite(found).all()
    moments = [(found**power).mean() for power in (1, 2, 3, 4)]
    np.testing.assert_allclose(moments, [0.0, 1.0, 0.0, 3.0], atol=0.15)  # seven times what chance moves them
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 0.03


@pytest.mark.parametrize("centre", ["reflect", "same"])
def test_mels_are_the_server_s(visit: Any, fake: Any, centre: Any) -> None:
    config = MelConfig(
        "tiny", 8000, n_fft=64, win_length=48, hop_length=16, n_mels=5, f_min=0.0, f_max=4000.0, centre=centre
    )
    x = 0.1 * np.random.default_rng(2).standard_normal(300).astype(np.float32)
    expected = MelSpectrogram(config)(torch.from_numpy(x)[None])[0].numpy()
    script = """async ([x, contract, bank]) => {
      const { melOf } = await import("/page/js/mel.js");
      const mel = melOf(Float32Array.from(x), contract, { values: Float32Array.from(bank), nMels: 5, frames: 33 });
      return [mel.frames, ...mel.values];
    }"""
    contract = to_dict(config)
    with visit(fake) as person:
        found = person.page.evaluate(script, [x.tolist(), contract, mel_filterbank(config).float().flatten().tolist()])
    assert found[0] == expected.shape[1]
    np.testing.assert_allclose(np.reshape(found[1:], expected.shape), expected, rtol=0, atol=1e-4)


def test_files_that_the_page_writes_are_read(visit: Any, fake: Any) -> None:
    script = """async () => {
      const { wavOf } = await import("/page/js/wav.js");
      const { writeNpy } = await import("/page/js/npy.js");
      const origin = JSON.stringify({ model: "räume", version: "1.2", seed: 7, synthetic: true });
      const { sound, clipped } = wavOf(Float32Array.from([0, 0.5, -1, 1.5, 0.25]), 8000, origin, "1.2");
      const mel = writeNpy({ values: Float32Array.from([1, 2, 3, 4, 5, 6]), nMels: 2, frames: 3 });
      const bytes = async (blob) => [...new Uint8Array(await blob.arrayBuffer())];
      return { wav: await bytes(sound), clipped, npy: await bytes(mel) };
    }"""
    with visit(fake) as person:
        found = person.page.evaluate(script)
    wav = io.BytesIO(bytes(found["wav"]))
    x, sample_rate = soundfile.read(wav)
    assert (sample_rate, found["clipped"]) == (8000, 1)
    np.testing.assert_allclose(x, [0, 0.5, -1, 1, 0.25], rtol=0, atol=2 * HALF_STEP)
    assert audio_info(wav).origin == Origin("räume", "1.2", 7)
    np.testing.assert_array_equal(np.load(io.BytesIO(bytes(found["npy"]))), [[1, 2, 3], [4, 5, 6]])


@needs_copy
def test_a_model_speaks_in_the_browser_as_on_the_server(visit: Any, wav: Any) -> None:
    assert PAGE_COPY is not None
    local = Path(PAGE_COPY) / "page" / "local"
    model = json.loads((local / "index.json").read_text(encoding="utf-8"))["models"][0]
    name, speech = model["name"], _speech()
    names = [name, f"{name} (in this browser)"]
    frames = 1 + len(speech) // model["mel"]["hop_length"]
    z = model["sigma"] * white_noise(5, 0, frames, model["z_channels"], model["z_steps_per_frame"]).numpy()
    # The page draws noise of its own; here it is given that of the server's seed.
    given = f"export const noise = () => Float32Array.from({json.dumps(z.ravel().tolist())});"
    seeded = {"content_type": "text/javascript", "body": given}
    with visit(vocoder.load(name, dtype=torch.float32, guard="off"), page_models=local) as person:
        person.page.route("**/js/noise.js", lambda route: route.fulfill(**seeded))
        person.page.route("**/v1/synthesize*", lambda route: route.continue_(url=f"{route.request.url}&seed=5"))
        person.page.reload()
        person.page.set_default_timeout(SLOWNESS)
        person.upload("speech.wav", wav(speech))
        for place in names:
            person.field(place).check()
        person.button("Synthesize").click()
        person.expect(person.page.get_by_role("status")).to_have_text("Done: 2 of 2 models.", timeout=SLOWNESS)
        sounds = [_download(person, place) for place in names]
        speeds = [re.search(r"([\d.]+) × real time", person.clip(place).inner_text()) for place in names]
    print(f"{name}: {' and '.join(speed[1] for speed in speeds if speed)} x real time, here and in the browser")
    assert all(speeds)
    on_server, in_browser = (soundfile.read(sound, dtype="float32")[0] for sound in sounds)
    assert on_server.std() > 0.01
    np.testing.assert_allclose(in_browser, on_server, rtol=0, atol=1e-3)
    origins = [Origin(name, vocoder.__version__, seed) for seed in (5, None)]
    assert [audio_info(sound).origin for sound in sounds] == origins


@needs_copy
def test_a_copy_is_a_page_without_a_server(browser: Any, static: Any) -> None:
    assert PAGE_COPY is not None
    with static(Path(PAGE_COPY)) as url:
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        page.get_by_role("checkbox", name=re.compile("in this browser")).first.wait_for()
        page.locator("#given[aria-busy=false]").wait_for()
        page.close()
        assert all(address.startswith((url, "blob:")) for address in asked)
        assert [address for address in asked if "/v1/" in address] == []
        assert httpx.get(f"{url}/page/local/index.json").json()["alone"] is True


def _download(person: Any, name: str) -> io.BytesIO:
    with person.page.expect_download() as download:
        person.clip(name).get_by_role("link", name="Download WAV").click()
    return io.BytesIO(Path(download.value.path()).read_bytes())  # the file is gone with the window


def _speech() -> Any:
    recording, _ = soundfile.read(Path(vocoder.__file__).parents[1] / "examples" / "heldout.flac", dtype="float32")
    return recording[:22050]
