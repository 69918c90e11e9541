"""The Open Inference Protocol, spoken by NVIDIA's own client to a server on a socket, and byte by byte."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from vocoder.mel.config import preset

TIMEOUT = 60.0
INFER = "/v2/models/fake/infer"


@pytest.fixture
def url(serve: Any, wait_until: Any) -> Iterator[str]:
    with serve(max_json_bytes=40_000, max_frames=200) as address:
        wait_until(lambda: httpx.get(f"{address}/readyz", timeout=TIMEOUT).status_code == 200)
        yield address


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    client = triton.InferenceServerClient(url.removeprefix("http://"))
    yield client
    client.close()


def tensor(mel: Any, binary: bool = True, datatype: str = "FP32") -> Any:
    given = triton.InferInput("mel", list(mel.shape), datatype)
    given.set_data_from_numpy(mel, binary_data=binary)
    return given


def test_what_the_server_says_of_itself(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("fake")
    assert client.is_model_ready("fake", "1")
    assert not client.is_model_ready("fake", "2")
    assert not client.is_model_ready("other")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("fake", "1")
    assert metadata["inputs"] == [{"name": "mel", "datatype": "FP32", "shape": [80, -1]}]
    assert metadata["outputs"] == [{"name": "audio", "datatype": "FP32", "shape": [-1]}]
    assert metadata == client.get_model_metadata("fake")


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_a_mel_becomes_audio(client: Any, fake: Any, new_mel: Any, binary_in: bool, binary_out: bool) -> None:
    mel = new_mel(frames=15)
    result = client.infer(
        "fake",
        [tensor(mel, binary_in)],
        outputs=[triton.InferRequestedOutput("audio", binary_data=binary_out)],
        request_id="mine",
        parameters={"seed": 5, "sigma": 0.5, "denoise": 0.25, "corrections": 40, "guard": "off"},
    )
    expected = fake.synthesize(mel, seed=5, sigma=0.5, denoise=0.25, corrections=40)
    np.testing.assert_array_equal(result.as_numpy("audio"), expected)
    response = result.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("mine", "fake", "1")
    assert response["parameters"] == {"sample_rate": 22050, "seed": 5, "model_dtype": "float32"}


def test_a_batch_of_one_is_answered_as_one(client: Any, fake: Any, new_mel: Any) -> None:
    result = client.infer("fake", [tensor(new_mel()[None])], model_version="1", parameters={"seed": 1})
    np.testing.assert_array_equal(result.as_numpy("audio"), fake.synthesize(new_mel(), seed=1)[None])


def test_half_precision(client: Any, fake: Any, new_mel: Any) -> None:
    mel = new_mel().astype(np.float16)
    result = client.infer("fake", [tensor(mel, datatype="FP16")], parameters={"seed": 1})
    np.testing.assert_array_equal(result.as_numpy("audio"), fake.synthesize(mel.astype(np.float32), seed=1))


def test_many_at_once(url: str, fake: Any, new_mel: Any) -> None:
    client = triton.InferenceServerClient(url.removeprefix("http://"), concurrency=4)
    mels = [new_mel(frames=10 + n, level=-3.0 - n / 4.0) for n in range(8)]
    pending = [client.async_infer("fake", [tensor(mel)], parameters={"seed": n}) for n, mel in enumerate(mels)]
    for n, (mel, result) in enumerate(zip(mels, pending, strict=True)):
        np.testing.assert_array_equal(result.get_result().as_numpy("audio"), fake.synthesize(mel, seed=n))
    client.close()


def test_refusals_come_in_the_protocols_own_form(client: Any, new_mel: Any) -> None:
    with pytest.raises(InferenceServerException, match=r"must be \(80, frames\)") as caught:
        client.infer("fake", [tensor(new_mel(n_mels=79))])
    assert caught.value.status() == "422"
    with pytest.raises(InferenceServerException, match="This server has the models fake"):
        client.infer("other", [tensor(new_mel())])
    with pytest.raises(InferenceServerException, match="unknown member"):
        client.infer("fake", [tensor(new_mel())], parameters={"pitch": 3})
    with pytest.raises(InferenceServerException, match="one mel per request"):
        client.infer("fake", [tensor(np.stack([new_mel()] * 2))])
    with pytest.raises(InferenceServerException, match="deadline"):
        client.infer("fake", [tensor(new_mel())], timeout=1)


def test_mels_that_audio_cannot_be_corrected_towards(serve: Any, wait_until: Any, new_fake: Any, new_mel: Any) -> None:
    with serve(new_fake(mel_config=preset("espnet"))) as url:
        wait_until(lambda: httpx.get(f"{url}/readyz", timeout=TIMEOUT).status_code == 200)
        with triton.InferenceServerClient(url.removeprefix("http://")) as client:
            given = [tensor(new_mel(level=-3.0))]
            with pytest.raises(InferenceServerException, match="give 0") as caught:
                client.infer("fake", given, parameters={"corrections": 6})
            assert caught.value.status() == "422"
            assert client.infer("fake", given, parameters={"corrections": 0}).as_numpy("audio").any()


def test_a_raw_body_is_the_mel(url: str, fake: Any, new_mel: Any) -> None:
    headers = {"Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream"}
    response = httpx.post(url + INFER, content=new_mel().tobytes(), headers=headers, timeout=TIMEOUT)
    length = int(response.headers["inference-header-content-length"])
    document = json.loads(response.content[:length])
    (output,) = document["outputs"]
    audio = np.frombuffer(response.content[length:], "<f4")
    assert (output["shape"], output["parameters"]["binary_data_size"]) == ([12 * 256], audio.nbytes)
    np.testing.assert_array_equal(audio, fake.synthesize(new_mel(), seed=document["parameters"]["seed"]))
    assert {"queue", "infer"} <= {entry.split(";")[0] for entry in response.headers["server-timing"].split(", ")}


def document(**changes: Any) -> dict[str, Any]:
    mel = {"name": "mel", "datatype": "FP32", "shape": [80, 2], "data": [-5.0] * 160}
    return {"inputs": [mel | changes]}


def wanted(binary: Any) -> dict[str, Any]:
    return {"name": "audio", "parameters": {"binary_data": binary}}


@pytest.mark.parametrize(
    ("body", "length", "detail"),
    [
        (b"{", None, "not valid JSON"),
        (b"[]", None, "not valid|valid dict|object"),
        (json.dumps({"inputs": []}), None, r"^inputs: .*at least 1"),
        (json.dumps(document(name="text")), None, r"^inputs\.0\.name: .*'mel'"),
        (json.dumps(document(datatype="INT8")), None, "'FP32', 'FP16' or 'FP64'"),
        (json.dumps(document(shape=[80, 3])), None, "as many as the shape says"),
        (json.dumps(document(shape=[80, -2])), None, r"^inputs\.0\.shape\.1: .*greater than 0"),
        (json.dumps(document(data=["secret"] * 160)), None, "must be numbers"),
        (json.dumps(document(data=[[1.0], 2.0])), None, "must be numbers"),
        (json.dumps(document(data=None)), None, "either data or"),
        (json.dumps(document(parameters={"binary_data_size": 640})), None, "either data or"),
        (json.dumps(document(data=None, parameters={"binary_data_size": 640})), None, "do not agree"),
        (json.dumps(document(data=None, parameters={"binary_data_size": True})), None, "do not agree"),
        (json.dumps(document() | {"outputs": [{"name": "secret"}]}), None, r"^outputs\.0\.name: .*'audio'"),
        (json.dumps(document() | {"secret": 1}), None, "unknown member"),
        (json.dumps(document() | {"parameters": {"sigma": 3}}), None, "parameters.sigma"),
        (json.dumps(document() | {"parameters": {"corrections": 101}}), None, "parameters.corrections"),
        (json.dumps(document() | {"parameters": {"corrections": 1.5}}), None, "parameters.corrections"),
        (json.dumps(document() | {"parameters": {"timeout": 10**400}}), None, "parameters.timeout"),
        (json.dumps(document() | {"inputs": document()["inputs"] * 2}), None, "at most 1"),
        (json.dumps(document() | {"outputs": [wanted("false")]}), None, r"binary_data: .*boolean"),
        (json.dumps(document() | {"outputs": [wanted(1)]}), None, r"binary_data: .*boolean"),
        (json.dumps(document()) + "secret", str(len(json.dumps(document()))), "bytes after the JSON"),
        (b"{}", "3", "more than the body has"),
        (b"{}", "-1", "number of bytes"),
        (b"{}", "9" * 11, "number of bytes"),
        (bytes(81), "0", "raw body"),
    ],
)
def test_bodies_that_are_not_requests(url: str, body: Any, length: str | None, detail: str) -> None:
    headers = {} if length is None else {"Inference-Header-Content-Length": length}
    response = httpx.post(url + INFER, content=body, headers=headers, timeout=TIMEOUT)
    assert response.status_code == 400
    assert set(response.json()) == {"error"}
    assert "secret" not in response.text
    assert re.search(detail, response.json()["error"])


def test_a_body_that_says_it_is_text_is_refused(url: str) -> None:
    """A page of another site may send that without being asked, where Origin is not checked."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        response = httpx.post(f"{url}/v2/models/fake/infer", content=b"{}", headers={"Content-Type": kind})
        assert response.status_code == 415


def test_limits(url: str) -> None:
    large = json.dumps(document(data=[-5.0] * 20_000)).encode()
    assert httpx.post(url + INFER, content=large, timeout=TIMEOUT).status_code == 413
    headers = {"Inference-Header-Content-Length": str(len(large))}
    response = httpx.post(url + INFER, content=large + b"x", headers=headers, timeout=TIMEOUT)
    assert (response.status_code, "send the mel as bytes" in response.json()["error"]) == (413, True)
    raw = {"Inference-Header-Content-Length": "0"}
    response = httpx.post(url + INFER, content=bytes(4 * 80 * 201), headers=raw, timeout=TIMEOUT)
    assert (response.status_code, "200 frames" in response.json()["error"]) == (413, True)
