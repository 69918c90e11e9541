import json

import numpy as np
import pytest
import torch
from answers import npy, problem, samples
from recordings import RECORDING, mel_of
from streamers import Streamer

from vocoder.adapt.path import path_between
from vocoder.config import to_dict
from vocoder.mel.config import PRESETS, preset

pytestmark = pytest.mark.anyio

NVIDIA = preset("nvidia")
NAMES = ("espnet", "vocos", "hifigan")


def recorded(name):
    """A second of speech."""
    return mel_of(name)[:, :86].numpy()


async def test_a_mel_of_another_convention_is_spoken(client, fake):
    for name in NAMES:
        mel, path = recorded(name), path_between(preset(name), NVIDIA)
        response = await client.post(f"/synthesize?seed=1&format=npy&preset={name}", content=npy(mel))
        x = fake.synthesize(path.convert(torch.from_numpy(mel)).numpy(), seed=1)
        expected = path.placed(torch.from_numpy(x)[None], mel.shape[1])[0].numpy()
        np.testing.assert_array_equal(samples(response), expected)
        assert response.headers["X-Mel-Preset"] == name
        assert response.headers.get("X-Mel-Adapted") == (None if name == "hifigan" else name)
        assert int(response.headers["X-Audio-Samples"]) == path.samples(mel.shape[1])
        assert response.headers["X-Mel-Guard"] == "typical"
    response = await client.post("/synthesize?preset=cosyvoice2&guard=strict", content=npy(recorded("cosyvoice2")))
    assert (response.status_code, response.headers["X-Mel-Guard"]) == (200, "unfamiliar")
    assert not {"X-Mel-Guard-Typicality", "X-Mel-Guard-Message"} & set(response.headers)
    response = await client.post("/synthesize?seed=1&format=npy&preset=nvidia", content=npy(recorded("nvidia")))
    np.testing.assert_array_equal(samples(response), fake.synthesize(recorded("nvidia"), seed=1))
    assert not {"X-Mel-Preset", "X-Mel-Adapted"} & set(response.headers)


async def test_adapt_off_refuses_what_needs_an_adapter(client):
    document = problem(
        await client.post("/synthesize?preset=espnet&adapt=off", content=npy(recorded("espnet"))), 422, "mel-mismatch"
    )
    assert "f_min is 80.0, not 0.0" in document["detail"]
    assert any(text.startswith("f_min") for text in document["differences"])
    assert (await client.post("/synthesize?preset=hifigan&adapt=off", content=npy(recorded("hifigan")))).is_success
    wrong = await client.post("/synthesize?preset=espnet&adapt=maybe", content=npy(recorded("espnet")))
    assert problem(wrong, 422, "invalid-parameter")["errors"][0]["parameter"] == "adapt"


async def test_streams_bring_the_same(start):
    noise = np.random.default_rng(0).uniform(-2.0, 2.0, (80, 100)).astype(np.float32)
    async with start(Streamer()) as client:
        for name in NAMES:
            mel, samples = recorded(name), path_between(preset(name), NVIDIA).samples
            query = f"/synthesize?seed=1&format=pcm_f32&corrections=0&preset={name}"
            streamed, whole = [await client.post(query + more, content=npy(mel)) for more in ("&stream=1", "")]
            assert streamed.headers["X-Audio-Samples"] == str(samples(mel.shape[1]))
            assert streamed.headers.get("X-Mel-Adapted") == (None if name == "hifigan" else name)
            given = [np.frombuffer(response.content, "<f4") for response in (streamed, whole)]
            assert len(given[0]) == samples(mel.shape[1])
            np.testing.assert_allclose(given[0], given[1], atol=1e-5)
        for more in ("", "&stream=1"):
            response = await client.post(f"/synthesize?preset=espnet{more}", content=npy(noise))
            assert "Converted from 'espnet'" in problem(response, 422, "invalid-mel")["detail"]


async def test_mels_normalised_by_statistics(client):
    mel = recorded("espnet")
    mean, deviation = mel.mean(axis=1), mel.std(axis=1) + 0.1
    given = {"mean": ",".join(map(str, mean)), "variance": ",".join(map(str, deviation**2))}
    query = {"seed": "1", "format": "npy", "preset": "espnet"}
    plain = await client.post("/synthesize", params=query, content=npy(mel))
    normalised = (mel - mean[:, None]) / deviation[:, None]
    response = await client.post("/synthesize", params=query | given, content=npy(normalised))
    np.testing.assert_allclose(samples(response), samples(plain), atol=1e-4)
    for wrong, parameter in (
        ({"mean": given["mean"]}, "variance"),
        ({**given, "mean": "1,2"}, "mean"),
        ({**given, "variance": given["variance"].replace(",", ";")}, "variance"),
        ({**given, "variance": ",".join(["-1"] * 80)}, "variance"),
    ):
        refused = await client.post("/synthesize", params=query | wrong, content=npy(normalised))
        assert problem(refused, 422, "invalid-parameter")["errors"][0]["parameter"] == parameter


async def test_the_list_of_models_tells_what_each_accepts(client):
    document = (await client.get("/models")).json()
    accepts = {entry["preset"]: entry for entry in document["models"][0]["accepts"]}
    assert accepts["nvidia"]["how"] == "own"
    own = {"preset": "hifigan", "aliases": ["matcha-tts", "cosyvoice"], "how": "exact", "delay_samples": 128}
    assert accepts["hifigan"] == own
    adapted = {name for name, entry in accepts.items() if entry["how"] == "adapter"}
    assert adapted == set(PRESETS) - {"nvidia", "hifigan"}
    assert set(accepts["espnet"]["pesq_lost"]) == {"asterisk-it", "kokoro-unseen", "klettres"}


async def test_mel_configs_of_ones_own(start, tmp_path, new_mel):
    own = {**to_dict(NVIDIA), "log": "log10"}
    del own["name"]
    (tmp_path / "ours.json").write_text(json.dumps(own))
    (tmp_path / "wide.yaml").write_text(
        "{sample_rate: 44100, n_fft: 2048, win_length: 2048, hop_length: 512, n_mels: 128, f_min: 0, f_max: 16000}"
    )
    async with start(contracts=tmp_path) as client:
        assert {"ours", "wide"} <= set((await client.get("/models")).json()["mel_presets"])
        mel = new_mel(level=-4.0)
        plain = await client.post("/synthesize?seed=1&format=npy", content=npy(mel))
        response = await client.post(
            "/synthesize?seed=1&format=npy&preset=ours", content=npy((mel / np.log(10.0)).astype(np.float32))
        )
        np.testing.assert_allclose(samples(response), samples(plain), atol=1e-5)
        refused = await client.post("/synthesize?preset=wide", content=npy(new_mel(n_mels=128)))
        assert "n_mels is 128, not 80" in problem(refused, 422, "mel-mismatch")["detail"]
        audio = (await client.post("/mel?preset=wide", content=RECORDING.read_bytes())).content
        assert audio[:6] == b"\x93NUMPY"
