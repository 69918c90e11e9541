"""The rendered objects of the chart are valid, consistent, and only use settings that the server has."""

import os
import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from server.app import create_admin_app, create_app
from server.settings import Settings

if not os.environ.get("REQUIRE_HELM"):
    pytest.importorskip("helm_python", reason="make helm-test installs Helm")
import helm_python

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy" / "helm" / "flow-vocoder"
VERSIONS = ("1.31", "1.37")
KINDS = "ConfigMap Deployment HorizontalPodAutoscaler NetworkPolicy PodDisruptionBudget Service"
OTHER_VARIABLES = {"OMP_NUM_THREADS", "PODS", "BALANCER_PORT"}
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
DEVICES = {"cpu": {}, "gpu": {"gpu": True}}
OWN_MODELS = {"claim": {"claim": "vocoder-models"}, "image": {"image": "vocoder-models:1"}}
LEAST_RIGHTS = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
EVERYTHING = {"apiKeys": {"secret": "vocoder-api-keys"}, "balancer": {"enabled": True}}


def rendered(values, name="vocoder"):
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


@pytest.fixture(scope="module", params=DEVICES)
def device(request):
    return DEVICES[request.param]


@pytest.fixture(scope="module", params=["shipped", *OWN_MODELS])
def manifests(request, device):
    own = {"models": {"names": ["/models/mine"], **OWN_MODELS[request.param]}} if request.param in OWN_MODELS else {}
    return rendered(EVERYTHING | device | own)


def pods(manifests):
    return [manifest["spec"]["template"] for manifest in of_kind(manifests, "Deployment")]


def server_pod(manifests):
    return next(pod for pod in pods(manifests) if pod["spec"]["containers"][0]["name"] == "vocoder")


def variables(container):
    return {entry["name"]: entry.get("value", "1") for entry in container["env"]}


def ports(pod):
    return {port["name"]: port["containerPort"] for item in pod["spec"]["containers"] for port in item["ports"]}


def matches(labels, selector):
    assert set(selector) <= {"matchLabels"}
    return selector.get("matchLabels", {}).items() <= labels.items()


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_are_valid_in_the_kubernetes_schemas(manifests, version):
    assert " ".join(sorted({manifest["kind"] for manifest in manifests})) == KINDS
    for manifest in manifests:
        kubernetes_validate.validate(manifest, version, strict=True)
    # A service named vocoder would set VOCODER_PORT.
    assert all(pod["spec"]["enableServiceLinks"] is False for pod in pods(manifests))


def test_every_variable_is_a_setting_with_a_valid_value(manifests, monkeypatch):
    named = {name for pod in pods(manifests) for item in pod["spec"]["containers"] for name in variables(item)}
    assert named - OTHER_VARIABLES <= {f"VOCODER_{name.upper()}" for name in Settings.model_fields}
    pod = server_pod(manifests)
    for name, value in variables(pod["spec"]["containers"][0]).items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert ports(pod) == {"http": settings.port, "admin": settings.admin_port}
    assert settings.host == settings.admin_host == "0.0.0.0"
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == str(settings.admin_port)
    # Accepted requests are answered before the container is killed, and balancers notice in time.
    assert pod["spec"]["terminationGracePeriodSeconds"] >= settings.drain_delay + settings.drain_timeout + 5
    probe = pod["spec"]["containers"][0]["readinessProbe"]
    assert settings.drain_delay >= probe["periodSeconds"] * probe["failureThreshold"]


def test_probes_use_existing_routes(manifests):
    public = create_app(Settings(admin_port=9000))
    apps = {"http": public, "admin": create_admin_app(public)}
    routes = {name: set(app.openapi()["paths"]) for name, app in apps.items()}
    container = server_pod(manifests)["spec"]["containers"][0]
    probes = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")}
    assert [probe["path"] for probe in probes.values()] == ["/readyz", "/readyz", "/livez"]
    assert all(probe["path"] in routes[probe["port"]] for probe in probes.values())
    assert server_pod(manifests)["metadata"]["annotations"]["prometheus.io/path"] in routes["admin"]


def test_selectors_and_ports_are_consistent(manifests):
    labelled = {pod["spec"]["containers"][0]["name"]: pod["metadata"]["labels"] for pod in pods(manifests)}
    for deployment in of_kind(manifests, "Deployment"):
        assert matches(deployment["spec"]["template"]["metadata"]["labels"], deployment["spec"]["selector"])
    for service in of_kind(manifests, "Service"):
        (pod,) = [p for p in pods(manifests) if service["spec"]["selector"].items() <= p["metadata"]["labels"].items()]
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(ports(pod))
        headless = service["spec"].get("clusterIP") == "None"
        assert not headless or service["spec"]["ports"][0]["port"] == ports(pod)["http"]
    budget, policy = only(manifests, "PodDisruptionBudget"), only(manifests, "NetworkPolicy")
    spread = server_pod(manifests)["spec"]["topologySpreadConstraints"][0]["labelSelector"]
    for selector in (budget["spec"]["selector"], policy["spec"]["podSelector"], spread):
        assert [name for name, labels in labelled.items() if matches(labels, selector)] == ["vocoder"]
    assert {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]} == {"http", "admin"}


def test_the_autoscaler_uses_a_metric_of_the_adapter(manifests):
    scaler = only(manifests, "HorizontalPodAutoscaler")
    target = scaler["spec"]["scaleTargetRef"]
    (deployment,) = [m for m in of_kind(manifests, "Deployment") if m["metadata"]["name"] == target["name"]]
    assert deployment["apiVersion"] == target["apiVersion"]
    assert "replicas" not in deployment["spec"]
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "adapter-rules.yaml").read_text(encoding="utf-8"))["rules"]
    metrics = [metric["pods"]["metric"]["name"] for metric in scaler["spec"]["metrics"]]
    assert metrics == [rule["name"]["as"] for rule in rules]


@pytest.mark.parametrize("source", OWN_MODELS)
def test_own_models_are_mounted_and_used(device, source):
    """They are in directories below the read-only /models, which an init container fills."""
    models = {"names": ["/models/mine", "reverse"], **OWN_MODELS[source]}
    pod = server_pod(rendered(device | {"models": models}))
    container = pod["spec"]["containers"][0]
    (mount,) = [mount for mount in container["volumeMounts"] if mount["name"] == "models"]
    assert (mount["mountPath"], mount["readOnly"]) == ("/models", True)
    assert variables(container)["VOCODER_MODELS"] == "/models/mine,reverse"
    copies = pod["spec"].get("initContainers", [])
    assert [item["image"] for item in copies] == ([models["image"]] if source == "image" else [])
    assert all(item["command"][-1].rstrip("/") == item["volumeMounts"][0]["mountPath"] for item in copies)


@pytest.mark.parametrize("version", VERSIONS)
def test_without_prometheus_the_autoscaler_uses_cpu_load(version):
    manifests = rendered({"autoscaling": {"cpuPercent": 60}})
    scaler = only(manifests, "HorizontalPodAutoscaler")
    kubernetes_validate.validate(scaler, version, strict=True)
    assert [metric["resource"]["name"] for metric in scaler["spec"]["metrics"]] == ["cpu"]
    # The load is relative to the requested CPU, so every container must request some.
    assert all("cpu" in item["resources"]["requests"] for item in server_pod(manifests)["spec"]["containers"])


def test_containers_have_minimal_rights(manifests):
    for pod in pods(manifests):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in (*spec.get("initContainers", ()), *spec["containers"]):
            assert container["securityContext"] == LEAST_RIGHTS
    user = server_pod(manifests)["spec"]["securityContext"]
    assert f"\nUSER {user['runAsUser']}:{user['runAsGroup']}\n" in DOCKERFILE
    assert "/tmp" in [m["mountPath"] for m in server_pod(manifests)["spec"]["containers"][0]["volumeMounts"]]


@pytest.mark.parametrize(("name", "expected"), [("cpu", "cpu"), ("gpu", "cuda")])
def test_each_device_uses_its_image(name, expected):
    container = server_pod(rendered(DEVICES[name]))["spec"]["containers"][0]
    assert container["image"] == f"flow-vocoder:{expected}"
    assert f"FROM runtime AS {expected}\n" in DOCKERFILE
    assert variables(container)["VOCODER_DEVICE"] == expected
    resources = container["resources"]
    gpus = {kind: resources[kind].get("nvidia.com/gpu") for kind in ("requests", "limits")}
    assert gpus == dict.fromkeys(("requests", "limits"), 1 if expected == "cuda" else None)
    assert ("OMP_NUM_THREADS" in variables(container)) == ("cpu" in resources["limits"])


def test_the_balancer_finds_the_pods(manifests):
    text = (CHART / "haproxy.cfg").read_text(encoding="utf-8")
    assert {"ConfigMap": text} == {"ConfigMap": only(manifests, "ConfigMap")["data"]["haproxy.cfg"]}
    (container,) = next(pod for pod in pods(manifests) if "haproxy" in str(pod))["spec"]["containers"]
    assert set(re.findall(r"\$\{(\w+)\}", text)) == set(variables(container))
    service, namespace = variables(container)["PODS"].split(".")[:2]
    (headless,) = [m for m in of_kind(manifests, "Service") if m["metadata"]["name"] == service]
    assert (headless["spec"]["clusterIP"], namespace) == ("None", "speech")
    assert headless["spec"]["ports"][0]["port"] == int(re.findall(r"\$\{PODS\}:(\d+)", text)[0])
    assert int(variables(container)["BALANCER_PORT"]) == container["ports"][0]["containerPort"]
    assert container["readinessProbe"]["httpGet"]["path"] == re.findall(r"monitor-uri (\S+)", text)[0]


ADVICE = 1  # severity of what Helm merely recommends, such as an icon
INSTANCE = "app.kubernetes.io/instance"
PUBLIC = {"enabled": True, "className": "nginx", "host": "speech.example.com", "tlsSecret": "speech-tls"}


def by_kind(values, name="vocoder"):
    """Return the objects of a release without a balancer, which has one of each kind."""
    found = rendered(values, name)
    assert len({part["kind"] for part in found}) == len(found)
    return {part["kind"]: part for part in found}


@pytest.mark.parametrize("version", VERSIONS)
def test_all_values_give_valid_objects(version):
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
    found_variables = variables(container)
    assert (found_variables["VOCODER_MAX_FRAMES"], found_variables["VOCODER_PAGE"]) == ("4000000", "false")
    assert found_variables["VOCODER_ALLOWED_HOSTS"] == "*.speech,speech.example.com"
    assert (found_variables["VOCODER_DRAIN_DELAY"], found_variables["VOCODER_DRAIN_TIMEOUT"]) == ("20", "60")
    assert pod["terminationGracePeriodSeconds"] == 100
    assert container["image"] == "registry.example.com/flow-vocoder:cpu"
    assert container["resources"] == values["resources"]
    assert found["Ingress"]["spec"]["rules"][0]["host"] == "speech.example.com"


def test_releases_in_one_namespace_are_separate():
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
def test_invalid_values_are_rejected(values):
    with pytest.raises(helm_python.HelmError):
        rendered(values)


def test_helm_lint_finds_no_problems():
    found = helm_python.lint(str(CHART))
    assert found["total_charts_linted"] == 1
    assert [line for line in found["messages"] if line["severity"] > ADVICE] == found["errors"] == []
