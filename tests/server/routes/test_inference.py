"""The Open Inference Protocol, with NVIDIA's client and with raw requests."""

import itertools
import json
import re

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from http_helpers import TIMEOUT
from tritonclient.utils import InferenceServerException

INFER = "/v2/models/fake/infer"


@pytest.fixture
def url(ready):
    with ready(max_json_bytes=40_000, max_frames=200) as address:
        yield address


@pytest.fixture
def client(url):
    client = triton.InferenceServerClient(url.removeprefix("http://"))
    yield client
    client.close()


def tensor(mel, binary=True, datatype="FP32"):
    made = triton.InferInput("mel", list(mel.shape), datatype)
    made.set_data_from_numpy(mel, binary_data=binary)
    return made


def test_health_and_metadata(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    known = [("fake",), ("fake", "1"), ("fake", "2"), ("other",)]
    assert [client.is_model_ready(*names) for names in known] == [True, True, False, False]
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("fake", "1")
    assert metadata["inputs"] == [{"name": "mel", "datatype": "FP32", "shape": [80, -1]}]
    assert metadata["outputs"] == [{"name": "audio", "datatype": "FP32", "shape": [-1]}]
    assert metadata == client.get_model_metadata("fake")


def test_a_mel_is_synthesized(client, fake, new_mel):
    mel = new_mel(frames=15)
    options = {"seed": 5, "sigma": 0.5, "denoise": 0.25, "corrections": 40}
    expected = fake.synthesize(mel, **options)
    for binary_in, binary_out in itertools.product((True, False), repeat=2):
        outputs = [triton.InferRequestedOutput("audio", binary_data=binary_out)]
        parameters = {**options, "guard": "off"}
        inputs = [tensor(mel, binary_in)]
        result = client.infer("fake", inputs, outputs=outputs, request_id="mine", parameters=parameters)
        np.testing.assert_array_equal(result.as_numpy("audio"), expected)
        response = result.get_response()
        assert (response["id"], response["model_name"], response["model_version"]) == ("mine", "fake", "1")
        assert response["parameters"] == {"sample_rate": 22050, "seed": 5, "model_dtype": "float32"}
    result = client.infer("fake", [tensor(mel[None])], model_version="1", parameters={**options, "gain": 20})
    np.testing.assert_allclose(result.as_numpy("audio"), 10.0 * expected[None], rtol=1e-6)  # a batch of one
    assert result.get_response()["parameters"]["gain"] == 20.0
    half = mel.astype(np.float16)
    result = client.infer("fake", [tensor(half, datatype="FP16")], parameters={"seed": 1})
    np.testing.assert_array_equal(result.as_numpy("audio"), fake.synthesize(half.astype(np.float32), seed=1))


def test_errors_use_the_format_of_the_protocol(client, new_mel):
    mel = new_mel()
    for name, inputs, options, message in (
        ("fake", new_mel(n_mels=79), {}, r"must be \(80, frames\)"),
        ("fakes", mel, {}, r"This server has the models fake\. Did you mean fake\? To serve more"),
        ("fake", mel, {"parameters": {"loudness": -20}}, "use gain"),
        ("fake", np.stack([mel] * 2), {}, "one mel per request"),
        ("fake", mel, {"timeout": 1}, "deadline"),
    ):
        with pytest.raises(InferenceServerException, match=message):
            client.infer(name, [tensor(inputs)], **options)


def test_timings_are_reported_and_text_or_large_bodies_rejected(url):
    response = httpx.post(url + INFER, json=request(), timeout=TIMEOUT)
    assert {"queue", "infer"} <= {entry.split(";")[0] for entry in response.headers["server-timing"].split(", ")}
    # Pages of other sites can send these types without a preflight request.
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        response = httpx.post(f"{url}/v2/models/fake/infer", content=b"{}", headers={"Content-Type": kind})
        assert response.status_code == 415
    response = httpx.post(f"{url}{INFER}?seed=1", json=request(), timeout=TIMEOUT)
    assert (response.status_code, "into the parameters" in response.json()["error"]) == (422, True)
    large = json.dumps(request(data=[-5.0] * 20_000)).encode()
    assert httpx.post(url + INFER, content=large, timeout=TIMEOUT).status_code == 413
    headers = {"Inference-Header-Content-Length": str(len(large))}
    response = httpx.post(url + INFER, content=large + b"x", headers=headers, timeout=TIMEOUT)
    assert (response.status_code, "send the mel as bytes" in response.json()["error"]) == (413, True)


def request(**changes):
    mel = {"name": "mel", "datatype": "FP32", "shape": [80, 2], "data": [-5.0] * 160}
    return {"inputs": [mel | changes]}


BODIES = [
    (b"{", None, "^The body cannot be read as JSON: EOF .* column 1"),
    (b'{"id": %s}' % (b"[" * 900 + b"]" * 900), None, "it is nested too deeply"),
    (b"[]", None, "^request: .*object"),
    ({"inputs": []}, None, r"^inputs: .*at least 1"),
    (request(name="text"), None, r"^inputs\.0\.name: .*'mel'"),
    (request(shape=[80, 3]), None, r"^data has the shape \[160\]: it must have the input's shape, or"),
    (request(data=[[-5.0] * 80] * 2), None, r"^data has the shape \[2, 80\]: it must have the input's shape"),
    (request(data=[[-5.0] * 80, [-5.0] * 79]), None, "nested lists of equal length"),
    (request(shape=[80, -2]), None, r"^inputs\.0\.shape\.1: .*greater than 0"),
    (request(shape=[10**2000] * 3), None, r"^inputs\.0\.shape\.0: .*less than"),
    (request(data=["secret"] * 160), None, "must be a list of numbers"),
    (request(parameters={"binary_data_size": 640}), None, "either data or"),
    (request(data=None, parameters={"binary_data_size": 640}), None, "^0 bytes follow the JSON: binary_data_size"),
    (request(data=None, parameters={"binary_data_size": True}), None, r"binary_data_size: .*valid integer"),
    (request() | {"outputs": [{"name": "secret"}]}, None, r"^outputs\.0\.name: .*'audio'"),
    (request() | {"secret": 1}, None, "unknown member"),
    (request() | {"inputs": [{**request()["inputs"][0], "secret": 1}]}, None, "unknown member"),
    (request(parameters={"secret": 1}), None, "unknown member"),
    (request() | {"parameters": {"sigma": 3}}, None, "parameters.sigma"),
    (request() | {"parameters": {"timeout": 10**400}}, None, "parameters.timeout"),
    (request() | {"parameters": {"sharpen": True}}, None, r"^parameters\.sharpen: .*valid number"),
    (request() | {"parameters": {"sigma": "0.5"}}, None, r"^parameters\.sigma: .*valid number"),
    (request() | {"parameters": {"seed": True}}, None, r"^parameters\.seed: .*valid integer"),
    (request(shape=["80", 2]), None, r"^inputs\.0\.shape\.0: .*valid integer"),
    (request() | {"inputs": request()["inputs"] * 2}, None, "at most 1"),
    (request() | {"outputs": [{"name": "audio", "parameters": {"binary_data": 1}}]}, None, r"binary_data: .*boolean"),
    (json.dumps(request()) + "secret", str(len(json.dumps(request()))), "Bytes follow the JSON"),
    (b"{}", "3", "larger than the body"),
    (b"{}", "9" * 11, "number of bytes"),
    (b"{}", "0", "^The JSON, the first 0 bytes of the body, cannot be read as JSON"),
    (json.dumps(request()) + "\0", None, "trailing characters"),
]
REPEATED = [
    ('"parameters": {"seed": 1, "seed": 1}', "seed"),
    ('"id": "[1]", "parameters": {"sigma": 1}, "parameters": {}', "parameters"),
    (f'"parameters": {{}}, "inputs": {json.dumps(request()["inputs"])}', "inputs"),
    ('"outputs": [{"name": "audio", "parameters": {}, "name": "audio"}]', "name"),
]


def test_repeated_members_are_rejected(url):
    body = json.dumps(request())[:-1]
    assert httpx.post(url + INFER, content=f'{body}, "id": "[1], {{"}}', timeout=TIMEOUT).status_code == 200
    for more, name in REPEATED:
        response = httpx.post(url + INFER, content=f"{body}, {more}}}", timeout=TIMEOUT)
        assert (response.status_code, response.json()) == (400, {"error": f"{name}: give it once, not several times."})


def test_invalid_bodies_are_rejected(url):
    for body, length, detail in BODIES:
        headers = {} if length is None else {"Inference-Header-Content-Length": length}
        content = json.dumps(body) if isinstance(body, dict) else body
        response = httpx.post(url + INFER, content=content, headers=headers, timeout=TIMEOUT)
        assert (response.status_code, set(response.json())) == (400, {"error"}), detail
        assert "secret" not in response.text
        assert re.search(detail, response.json()["error"])
