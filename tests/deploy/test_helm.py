"""What the chart makes of values, in Helm itself: `make helm-test`."""

import kubernetes_validate
import pytest
from chart import CHART, helm_python, rendered

ADVICE = 1  # severity of what Helm merely recommends, such as an icon
INSTANCE = "app.kubernetes.io/instance"
PUBLIC = {"enabled": True, "className": "nginx", "host": "speech.example.com", "tlsSecret": "speech-tls"}


def by_kind(values, name="vocoder"):
    """Return the objects of a release without a balancer, of which there is one of each kind."""
    found = rendered(values, name)
    assert len({part["kind"] for part in found}) == len(found)
    return {part["kind"]: part for part in found}


@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_the_schemas_of_kubernetes_accept_every_value(version):
    values = {
        "image": {"repository": "registry.example.com/flow-vocoder", "pullSecrets": ["registry"]},
        "ingress": PUBLIC | {"annotations": {"nginx.ingress.kubernetes.io/proxy-buffering": "off"}},
        "settings": {"VOCODER_MAX_FRAMES": 4000000, "VOCODER_PAGE": False},
        "resources": {"limits": {"cpu": "4", "memory": "3Gi"}},
        "drain": {"delay": 20, "timeout": 60},
    }
    found = by_kind(values, "anna")
    for part in found.values():
        kubernetes_validate.validate(part, version, strict=True)
    pod = found["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    variables = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert (variables["VOCODER_MAX_FRAMES"], variables["VOCODER_PAGE"]) == ("4000000", "false")
    assert variables["VOCODER_ALLOWED_HOSTS"] == "*.speech,speech.example.com"
    assert (variables["VOCODER_DRAIN_DELAY"], variables["VOCODER_DRAIN_TIMEOUT"]) == ("20", "60")
    assert pod["terminationGracePeriodSeconds"] == 100
    assert container["image"] == "registry.example.com/flow-vocoder:cpu"
    assert container["resources"] == values["resources"]
    assert found["Ingress"]["spec"]["rules"][0]["host"] == "speech.example.com"


def test_releases_beside_each_other_share_nothing():
    found = by_kind({"ingress": PUBLIC}, "anna")
    assert {part["metadata"]["name"] for part in found.values()} == {"anna"}
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert labels[INSTANCE] == "anna"
    assert found["Service"]["spec"]["selector"] == found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == "anna"
    (path,) = found["Ingress"]["spec"]["rules"][0]["http"]["paths"]
    assert path["backend"]["service"] == {"name": "anna", "port": {"name": "http"}}


@pytest.mark.parametrize(
    "values",
    [{"gpus": 1}, {"gpu": "yes"}, {"models": {"names": []}}, {"settings": {"MODELS": "x"}}, {"drain": {"delay": 5}}],
    ids=str,
)
def test_values_that_mean_nothing_are_refused(values):
    with pytest.raises(helm_python.HelmError):
        rendered(values)


def test_helm_s_own_lint_finds_nothing_wrong():
    found = helm_python.lint(str(CHART))
    assert found["total_charts_linted"] == 1
    assert [line for line in found["messages"] if line["severity"] > ADVICE] == found["errors"] == []
