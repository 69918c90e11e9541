"""What tests send to the routes and read in their answers."""

import io

import numpy as np


def npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def samples(response):
    assert response.status_code == 200, response.text
    return np.load(io.BytesIO(response.content))


def problem(response, status, slug):
    document = response.json()
    assert (response.status_code, document["type"]) == (status, f"urn:vocoder:problem:{slug}"), document
    assert response.headers["content-type"] == "application/problem+json"
    assert document["status"] == status
    assert document["request_id"] == response.headers["x-request-id"]
    return document
