"""Models that run in the browser give the same audio as the exported program."""

import io
import json
import os
import re
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import soundfile
import torch
from http_helpers import encoded
from recordings import RECORDING

import vocoder
from vocoder.audio.reading import read_audio
from vocoder.audio.writing import Origin, audio_info
from vocoder.export.traced import program_of
from vocoder.mel.spectrogram import MelSpectrogram
from vocoder.sampling import white_noise

PAGE_COPY = os.environ.get("PAGE_COPY")
needs_copy = pytest.mark.skipif(not PAGE_COPY or not Path(PAGE_COPY).is_dir(), reason="make browser-test writes a copy")
MODEL_TIMEOUT = 300_000.0  # milliseconds


@contextmanager
def served(folder):
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@needs_copy
def test_a_copy_of_the_page_without_a_server_gives_the_audio_of_the_program(browser):
    copy, speech, requests = Path(str(PAGE_COPY)), read_audio(RECORDING)[0][:22050], []
    model = json.loads((copy / "page" / "local" / "index.json").read_text(encoding="utf-8"))["models"][0]
    frames = 1 + len(speech) // model["mel"]["hop_length"]
    z = model["sigma"] * white_noise(5, 0, frames, model["z_channels"], model["z_steps_per_frame"]).numpy()
    # Replace the page's random noise.
    noise_module = f"export const noise = () => Float32Array.from({json.dumps(z.ravel().tolist())});"
    with served(copy) as url:
        page = browser.new_page()
        page.set_default_timeout(MODEL_TIMEOUT)
        page.on("request", lambda request: requests.append(request.url))
        page.route("**/js/noise.js", lambda route: route.fulfill(content_type="text/javascript", body=noise_module))
        page.goto(url)
        page.get_by_role("checkbox", name=re.compile("in this browser")).first.wait_for()
        page.locator("#given[aria-busy=false]").wait_for()
        page.get_by_label("Choose a file").set_input_files({"name": "s.wav", "mimeType": "", "buffer": encoded(speech)})
        page.locator("#given[aria-busy=false]").filter(has_text="s.wav").wait_for()
        page.get_by_role("button", name="Synthesize").click()
        page.get_by_role("status").filter(has_text="Done: 1 of 1 model.").wait_for()
        assert "× real time" in page.locator("#clips").inner_text()
        with page.expect_download() as download:
            page.get_by_role("link", name="Download WAV").click()
        sound = io.BytesIO(Path(download.value.path()).read_bytes())  # the file is deleted with the window
        page.close()
    assert [address for address in requests if "/v1/" in address or not address.startswith((url, "blob:"))] == []
    synthesizer = vocoder.load(model["name"], dtype=torch.float32, guard="off")
    mel = MelSpectrogram(synthesizer.mel_config)(torch.from_numpy(speech)[None])
    with torch.no_grad():
        expected = program_of(synthesizer)(torch.from_numpy(z)[None], mel)[0].numpy()
    x = soundfile.read(sound, dtype="float32")[0]
    assert x.std() > 0.01
    assert np.std(x - expected[: len(x)]) < 0.01 * x.std()  # mels computed in the browser differ by rounding
    assert audio_info(sound).origin == Origin(model["name"], vocoder.__version__, None, dtype="float32")
