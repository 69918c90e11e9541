"""Spans and metrics by OpenTelemetry, as its own exporters in memory see them."""

import subprocess
import sys

import httpx
import pytest
from answers import npy
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from server.app import create_app
from server.settings import Settings
from server.telemetry.otel import Telemetry, asked_for, open_telemetry

pytestmark = pytest.mark.anyio

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STAGES = ["read", "decode", "queue", "infer", "encode"]


class Watched:
    """Telemetry that is kept here."""

    def __init__(self):
        self.spans, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        tracers = TracerProvider()
        tracers.add_span_processor(SimpleSpanProcessor(self.spans))
        self.telemetry = Telemetry(tracers, MeterProvider([self.reader]))

    def points(self):
        data = self.reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        return {metric.name: list(metric.data.data_points) for scope in scopes for metric in scope.metrics}


@pytest.fixture
def watched():
    kept = Watched()
    yield kept
    kept.telemetry.close()


@pytest.fixture
async def client(fake, watched):
    app = create_app(Settings(models=(fake.name,)), load=lambda _: fake, telemetry=watched.telemetry)
    async with app.router.lifespan_context(app):
        await app.state.service.engines.wait_ready()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            yield client


async def test_a_request_is_a_span_of_its_client_s_trace_with_its_stages(client, watched, new_mel):
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    await client.post("/v1/synthesize?seed=1", content=npy(new_mel(frames=9)), headers=headers)
    *stages, whole = watched.spans.get_finished_spans()
    assert whole.name == "POST /v1/synthesize"
    assert (f"{whole.context.trace_id:032x}", f"{whole.parent.span_id:016x}") == (TRACE, PARENT)
    assert whole.attributes["http.response.status_code"] == 200
    assert (whole.attributes["vocoder.model"], whole.attributes["vocoder.frames"]) == ("fake", 9)
    assert [span.name for span in stages] == STAGES
    assert {span.parent.span_id for span in stages} == {whole.context.span_id}
    ends = [whole.start_time, *(span.end_time for span in stages)]
    assert [span.start_time for span in stages] == ends[:-1]
    assert ends == sorted(ends)


async def test_what_goes_wrong_is_told(client, watched):
    await client.post("/v1/synthesize", content=b"nonsense")
    (span,) = watched.spans.get_finished_spans()
    assert (span.attributes["error.type"], span.attributes["http.response.status_code"]) == ("malformed-body", 400)
    assert span.parent is None
    assert span.status.is_unset  # a client's mistake is no error of the server


async def test_metrics_count_what_prometheus_counts(client, watched, new_mel, fake):
    for _ in range(2):
        await client.post("/v1/synthesize", content=npy(new_mel(frames=10)))
    points = watched.points()
    (frames,), (audio,) = points["vocoder.frames"], points["vocoder.audio"]
    assert (frames.value, dict(frames.attributes)) == (20, {"vocoder.model": "fake"})
    assert audio.value == pytest.approx(20 * fake.hop_length / fake.mel_config.sample_rate)
    assert points["vocoder.infer"][0].count == 2
    (answered,) = points["http.server.request.duration"]
    assert (answered.count, answered.attributes["http.route"]) == (2, "/v1/synthesize")
    assert [point.value for point in points["vocoder.ready"]] == [1.0]
    assert 'vocoder_frames_total{model="fake"} 20.0' in (await client.get("/metrics")).text


def test_only_where_the_environment_asks(caplog):
    for environment, asked in (
        ({}, False),
        ({"OTEL_SERVICE_NAME": "voice"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "true"}, False),
    ):
        assert asked_for(environment) is asked
        assert asked or open_telemetry(environment) is None
    quiet = open_telemetry({"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "none"})
    assert quiet is not None
    assert (quiet.tracer is None, quiet.meter is None) == (False, True)  # each signal goes where it is sent
    quiet.close()
    for missing in (
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
    ):
        assert open_telemetry(missing) is None
    assert "opentelemetry-exporter-zipkin is not installed" in caplog.text
    assert "opentelemetry-exporter-otlp-proto-grpc is not installed" in caplog.text


def test_without_the_packages_the_server_says_so_and_goes_on():
    code = (
        "import sys, logging; logging.basicConfig(); sys.modules['opentelemetry.sdk'] = None\n"
        "from server.telemetry.otel import open_telemetry\n"
        "assert open_telemetry({'OTEL_TRACES_EXPORTER': 'console'}) is None"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'flow-vocoder[otel]'" in done.stderr
