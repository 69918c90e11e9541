"""Models that run in the browser: the samples of the exported program, and much the same sound as the server's."""

import io
import json
import os
import re
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
import torch

import vocoder
from vocoder.audio.info import audio_info
from vocoder.audio.origin import Origin
from vocoder.export.traced import program_of
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.seeded_noise import white_noise

PAGE_COPY = os.environ.get("PAGE_COPY")
needs_copy = pytest.mark.skipif(not PAGE_COPY or not Path(PAGE_COPY).is_dir(), reason="make browser-test writes a copy")
SLOWNESS = 300_000.0  # milliseconds that a model may take


@needs_copy
def test_a_model_speaks_in_the_browser_as_on_the_server(visit, wav):
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
    # The server corrects in the order of a stream, a program all frames at once: the page is a program.
    voice = vocoder.load(name, dtype=torch.float32, guard="off")
    mel = MelSpectrogram(voice.mel_config)(torch.from_numpy(speech)[None])
    with torch.no_grad():
        expected = program_of(voice)(torch.from_numpy(z)[None], mel)[0].numpy()
    np.testing.assert_allclose(in_browser, expected[: len(in_browser)], rtol=0, atol=2e-3)
    assert np.corrcoef(in_browser, on_server)[0, 1] > 0.9
    origins = [Origin(name, vocoder.__version__, seed, dtype="float32") for seed in (5, None)]
    assert [audio_info(sound).origin for sound in sounds] == origins


@needs_copy
def test_a_copy_is_a_page_without_a_server(browser, static):
    assert PAGE_COPY is not None
    with static(Path(PAGE_COPY)) as url:
        page = browser.new_page()
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        page.get_by_role("checkbox", name=re.compile("in this browser")).first.wait_for()
        page.locator("#given[aria-busy=false]").wait_for()
        page.close()
        assert all(address.startswith((url, "blob:")) for address in asked)
        assert [address for address in asked if "/v1/" in address] == []
        assert httpx.get(f"{url}/page/local/index.json").json()["alone"] is True


def _download(person, name):
    with person.page.expect_download() as download:
        person.clip(name).get_by_role("link", name="Download WAV").click()
    return io.BytesIO(Path(download.value.path()).read_bytes())  # the file is gone with the window


def _speech():
    recording, _ = soundfile.read(Path(vocoder.__file__).parents[1] / "examples" / "heldout.flac", dtype="float32")
    return recording[:22050]
