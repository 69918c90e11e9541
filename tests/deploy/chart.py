"""Objects rendered from the chart by Helm, which `make helm-test` installs."""

import os
from pathlib import Path

import pytest
import yaml

if not os.environ.get("REQUIRE_HELM"):
    pytest.importorskip("helm_python", reason="make helm-test installs Helm")
import helm_python

CHART = Path(__file__).resolve().parents[2] / "deploy" / "helm" / "flow-vocoder"


def rendered(values, name="vocoder"):
    """Return the objects of a release in the namespace `speech`."""
    with helm_python.Chart.load(str(CHART)) as chart:
        files = chart.render(values, name=name, namespace="speech")
    objects = [part for text in files.values() for part in yaml.safe_load_all(text) if part]
    assert len({(part["kind"], part["metadata"]["name"]) for part in objects}) == len(objects)
    return objects


def of_kind(manifests, kind):
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def only(manifests, kind):
    (found,) = of_kind(manifests, kind)
    return found
