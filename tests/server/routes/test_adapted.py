import json
from urllib.parse import quote

import numpy as np
from http_helpers import npy, problem, samples
from recordings import RECORDING, mel_of

from vocoder.adapt.path import path_between
from vocoder.config import to_dict
from vocoder.mel.config import PRESETS, preset

NVIDIA = preset("nvidia")


def speech_mel(name):
    return mel_of(name)[:, :86].numpy()


async def test_headers_report_how_mels_of_other_presets_are_converted(client):
    for name in ("espnet", "vocos", "hifigan", "nvidia", "cosyvoice2"):
        response = await client.post(f"/synthesize?guard=strict&preset={name}", content=npy(speech_mel(name)))
        path, headers = path_between(preset(name), NVIDIA), response.headers
        assert int(headers["X-Audio-Samples"]) == path.samples(86)
        assert headers.get("X-Mel-Preset") == (None if name == "nvidia" else name)
        assert headers.get("X-Mel-Adapted") == path.adapted
        assert headers["X-Mel-Guard"] == "typical"
        assert 0.0 < float(headers["X-Mel-Guard-Typicality"]) <= 100.0


async def test_models_list_the_presets_they_accept_and_adapt_off_rejects_adapters(client):
    document = (await client.get("/models")).json()
    accepts = {entry["preset"]: entry for entry in document["models"][0]["accepts"]}
    assert accepts["nvidia"]["how"] == "own"
    names = ["matcha-tts", "cosyvoice", "glm-4-voice", "grad-tts"]
    assert accepts["hifigan"] == {"preset": "hifigan", "aliases": names, "how": "exact", "delay_samples": 128}
    adapted = {name for name, entry in accepts.items() if entry["how"] == "adapter"}
    assert adapted == set(PRESETS) - {"nvidia", "hifigan"}
    assert set(accepts["espnet"]["pesq_lost"]) == {"asterisk-it", "kokoro-unseen", "klettres"}
    rejected = await client.post("/synthesize?preset=espnet&adapt=off", content=npy(speech_mel("espnet")))
    assert problem(rejected, 422, "mel-mismatch")["differences"][0].startswith("f_min")
    assert (await client.post("/synthesize?preset=hifigan&adapt=off", content=npy(speech_mel("hifigan")))).is_success
    invalid = await client.post("/synthesize?preset=espnet&adapt=maybe", content=npy(speech_mel("espnet")))
    assert problem(invalid, 422, "invalid-parameter")["errors"][0]["parameter"] == "adapt"


async def test_custom_mel_configs_can_be_used(start, tmp_path, new_mel):
    own = {**to_dict(NVIDIA), "log": "log10"}
    del own["name"]
    (tmp_path / "我们.json").write_text(json.dumps(own))
    wide = "{sample_rate: 44100, n_fft: 2048, win_length: 2048, hop_length: 512, n_mels: 128, f_min: 0, f_max: 16000}"
    (tmp_path / "wide.yaml").write_text(wide)
    async with start(contracts=tmp_path) as client:
        assert {"我们", "wide"} <= set((await client.get("/models")).json()["mel_presets"])
        mel = new_mel(level=-4.0)
        plain = await client.post("/synthesize?seed=1&format=npy", content=npy(mel))
        decimal = npy((mel / np.log(10.0)).astype(np.float32))
        response = await client.post("/synthesize?seed=1&format=npy&preset=我们", content=decimal)
        np.testing.assert_allclose(samples(response), samples(plain), atol=1e-5)
        assert response.headers["x-mel-preset"] == quote("我们")
        rejected = await client.post("/synthesize?preset=wide", content=npy(new_mel(n_mels=128)))
        assert "n_mels is 128, not 80" in problem(rejected, 422, "mel-mismatch")["detail"]
        assert (await client.post("/mel?preset=wide", content=RECORDING.read_bytes())).content[:6] == b"\x93NUMPY"
