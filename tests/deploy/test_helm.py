"""The chart renders to what the kustomizations build, in Helm itself: `make helm-test`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from kustomize import Manifest, build

import vocoder

if not os.environ.get("REQUIRE_HELM"):
    pytest.importorskip("helm_python", reason="make helm-test installs Helm")
import helm_python

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "flow-vocoder"
FOLDER = ROOT / "deploy" / "kubernetes"
ADVICE = 1  # severity of what Helm merely recommends, such as an icon
INSTANCE = "app.kubernetes.io/instance"
OWN = {"models": {"names": ["/models/mine"], "claim": "vocoder-models"}, "apiKeys": {"secret": "vocoder-api-keys"}}
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "cpu": ({}, ["overlays/cpu"]),
    "gpu": ({"gpu": True}, ["overlays/gpu"]),
    "own models and keys": (OWN, ["overlays/cpu", "components/api-keys", "components/models-volume"]),
    "own models on GPUs": (OWN | {"gpu": True}, ["overlays/gpu", "components/api-keys", "components/models-volume"]),
    "by processor time": ({"autoscaling": {"cpuPercent": 60}}, ["overlays/cpu", "components/scale-by-cpu"]),
}
PUBLIC = {"enabled": True, "className": "nginx", "host": "speech.example.com", "tlsSecret": "speech-tls"}


def rendered(values: dict[str, Any], name: str = "vocoder") -> dict[str, Manifest]:
    """Return the objects by kind."""
    with helm_python.Chart.load(str(CHART)) as chart:
        files = chart.render(values, name=name, namespace="speech")
    objects = [part for text in files.values() for part in yaml.safe_load_all(text) if part]
    assert len({part["kind"] for part in objects}) == len(objects)
    return {part["kind"]: part for part in objects}


def without_instance(part: Any) -> Any:
    """Return an object without the label that tells releases apart, which kustomizations have no need of."""
    if isinstance(part, dict):
        return {key: without_instance(value) for key, value in part.items() if key != INSTANCE}
    return [without_instance(value) for value in part] if isinstance(part, list) else part


@pytest.mark.parametrize("case", CASES)
def test_it_renders_to_what_kustomize_builds(case: str) -> None:
    values, (overlay, *components) = CASES[case]
    built = build(FOLDER / overlay, *(FOLDER / name for name in components))
    assert without_instance(rendered(values)) == {part["kind"]: part for part in built}


@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_the_schemas_of_kubernetes_accept_what_only_the_chart_has(version: str) -> None:
    values = {
        "image": {"repository": "registry.example.com/flow-vocoder", "pullSecrets": ["registry"]},
        "ingress": PUBLIC | {"annotations": {"nginx.ingress.kubernetes.io/proxy-buffering": "off"}},
        "settings": {"VOCODER_MAX_FRAMES": 4000000, "VOCODER_PAGE": False},
        "resources": {"limits": {"cpu": "4", "memory": "3Gi"}},
        "drain": {"delay": 20, "timeout": 60},
    }
    found = rendered(values, "anna")
    for part in found.values():
        kubernetes_validate.validate(part, version, strict=True)
    pod = found["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    variables = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert (variables["VOCODER_MAX_FRAMES"], variables["VOCODER_PAGE"]) == ("4000000", "false")
    assert (variables["VOCODER_DRAIN_DELAY"], variables["VOCODER_DRAIN_TIMEOUT"]) == ("20", "60")
    assert pod["terminationGracePeriodSeconds"] == 100
    assert container["image"] == "registry.example.com/flow-vocoder:cpu"
    assert container["resources"] == values["resources"]
    assert found["Ingress"]["spec"]["rules"][0]["host"] == "speech.example.com"


def test_releases_beside_each_other_share_nothing() -> None:
    found = rendered({"ingress": PUBLIC}, "anna")
    assert {part["metadata"]["name"] for part in found.values()} == {"anna"}
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert labels[INSTANCE] == "anna"
    assert found["Service"]["spec"]["selector"] == found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "anna"
    (path,) = found["Ingress"]["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": "anna", "port": {"name": "http"}}


def test_an_ingress_reaches_through_the_network_policy() -> None:
    (closed, _) = rendered({})["NetworkPolicy"]["spec"]["ingress"]
    (opened, _) = rendered({"ingress": PUBLIC})["NetworkPolicy"]["spec"]["ingress"]
    controller = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}
    assert opened["from"] == [*closed["from"], controller]


@pytest.mark.parametrize(
    "values",
    [{"gpus": 1}, {"gpu": "yes"}, {"models": {"names": []}}, {"settings": {"MODELS": "x"}}, {"drain": {"delay": 5}}],
    ids=str,
)
def test_values_that_mean_nothing_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(helm_python.HelmError):
        rendered(values)


def test_helm_s_own_lint_finds_nothing_wrong() -> None:
    found = helm_python.lint(str(CHART))
    assert found["total_charts_linted"] == 1
    assert [line for line in found["messages"] if line["severity"] > ADVICE] == found["errors"] == []


def test_its_version_is_the_package_s() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["version"] == chart["appVersion"] == vocoder.__version__
