"""Loading and unloading models at run time, by the administrator and when they are unused."""

import gc
import weakref
from contextlib import asynccontextmanager
from functools import partial

import anyio
import httpx
from http_helpers import npy, problem, samples, slug

from server.app import create_admin_app, create_app
from server.engine.engine import EngineState
from server.settings import Settings
from vocoder.checkpoint import CheckpointError

REPOSITORY = "/v2/repository"


def client_of(app):
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


@asynccontextmanager
async def running(known, **settings):
    """Serve the first known model; yield its engines and clients of both ports."""
    app = create_app(Settings(models=(next(iter(known)),), cores=1, admin_port=0, **settings), load=known.__getitem__)
    async with app.router.lifespan_context(app), client_of(app) as public, client_of(create_admin_app(app)) as admin:
        await app.state.service.engines.wait_ready()
        yield app.state.service.engines, public, admin


async def index(admin):
    return {e["name"]: (e["state"], e["reason"]) for e in (await admin.post(f"{REPOSITORY}/index")).json()}


async def test_the_administrator_can_load_and_unload_models(new_fake, new_mel):
    known = {"one": new_fake("one"), "some/where/two": new_fake("two"), "elsewhere": new_fake("one")}
    async with running(known, model_control=True) as (_, public, admin):

        async def control(action, name):
            answer = await admin.post(f"{REPOSITORY}/models/{name}/{action}", json={})
            return answer.status_code, answer.json()

        async def synthesize(name):
            return await public.post(f"/synthesize?model={name}&seed=1&format=npy", content=npy(new_mel()))

        assert "models/NAME/load" in problem(await synthesize("two"), 404, "unknown-model")["detail"]
        assert await control("load", "some/where/two") == (200, {})
        assert samples(await synthesize("two")).any()
        assert await control("unload", "one") == (200, {})
        assert await index(admin) == {"one": ("UNAVAILABLE", "unloaded"), "two": ("READY", "")}
        assert "retry-after" not in (await synthesize("one")).headers
        problem(await synthesize("one"), 503, "unloaded")
        assert (await public.get("/v1/models/one")).json().items() >= {"state": "unloaded", "family": "fake"}.items()
        assert [(await public.get(path)).status_code for path in ("/readyz", "/livez")] == [200, 200]
        assert 'vocoder_ready{model="one"}' not in (await admin.get("/metrics")).text
        assert await control("load", "one") == (200, {})
        assert samples(await synthesize("one")).any()
        assert (await control("unload", "three"))[0] == 404
        for name, words in (("three", "load model three"), ("elsewhere", "is a model one"), ("%00", "null byte")):
            code, document = await control("load", name)
            assert (code, words in document["error"]) == (422, True)
        assert await index(admin) == {"one": ("READY", ""), "two": ("READY", "")}
        answer = await admin.post(f"{REPOSITORY}/models/one/load", json={"parameters": {"config": "{}"}})
        assert "parameters: must be empty" in answer.json()["error"]
        known["one"].cycle = known["one"]  # so that only a collection frees it, though most objects take no part in one
        before, old, known["one"] = samples(await synthesize("one")), weakref.ref(known["one"]), new_fake("one")
        known["one"].gain = 0.5
        known["one"].gate.clear()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(control, "load", "one")
            await anyio.sleep(0.1)
            assert (samples(await synthesize("one")) == before).all()  # the old model serves until the new one is ready
            known["one"].gate.set()
        assert (samples(await synthesize("one")) == 0.5 * before).all()
        assert (old(), gc.get_freeze_count() > 10**5) == (None, True)
        known["one"].fault = RuntimeError("gone")  # a model that fails to reload does not stop the server
        assert (await control("unload", "one"), (await control("load", "one"))[0]) == ((200, {}), 422)
        assert await control("load", "elsewhere") == (200, {})
        assert (await index(admin))["one"] == ("READY", "")  # its successor
        assert [(await public.get(path)).status_code for path in ("/readyz", "/livez")] == [200, 200]
        assert (await public.post(f"{REPOSITORY}/index")).status_code == 404
        assert f"{REPOSITORY}/index" in (await admin.get("/openapi.json")).json()["paths"]


async def test_unused_models_are_unloaded_and_model_control_is_optional(fake, new_mel, monkeypatch):
    returned = []
    monkeypatch.setattr("server.engine.model.give_back_memory", lambda: returned.append(True))
    async with running({"fake": fake}) as (_, _, admin):
        answer = await admin.post(f"{REPOSITORY}/models/fake/unload")
        assert (answer.status_code, len(answer.headers["x-request-id"])) == (404, 32)
    async with running({"fake": fake}, unload_after=0.2, model_control=True) as (engines, public, admin):
        (engine,) = engines

        async def idle():
            while engine.state is not EngineState.IDLE:
                await anyio.sleep(0.02)

        synthesize, control = partial(public.post, "/synthesize", content=npy(new_mel())), f"{REPOSITORY}/models/fake"
        with anyio.fail_after(60.0):
            await idle()
            assert [(await public.get(path)).status_code for path in ("/readyz", "/livez")] == [200, 200]
            fake.gate.clear()
            for path in ("/synthesize", "/mel"):
                answer = await public.post(path, content=npy(new_mel()))
                assert (*slug(answer), answer.headers["retry-after"]) == (503, "warming", "5")
            assert (await public.get("/v1/models/fake")).json()["state"] == "loading"
            assert (engine.state, (await public.get("/readyz")).status_code) == (EngineState.LOADING, 200)
            problem(await public.post("/synthesize?model=x", content=b""), 404, "unknown-model")
            assert (await admin.post(f"{control}/unload")).status_code == 503
            fake.gate.set()
            await engines.wait_ready()
            await anyio.sleep(0.4)  # kept, because clients were told to retry
            fake.gate.clear()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(synthesize)
                await anyio.sleep(0.5)
                assert engine.state is EngineState.READY  # it is at work
                fake.gate.set()
            assert (await synthesize()).status_code == 200
            await idle()
            assert (await admin.post(f"{control}/unload")).status_code == 200
            assert returned
            problem(await synthesize(), 503, "unloaded")  # it does not wake any more
            assert (await admin.post(f"{control}/load")).status_code == 200
            await idle()
            fake.fault = CheckpointError("/a/b/config.json is not valid JSON")
            while engine.failure is None:
                assert (await synthesize()).status_code == 503
            document = problem(await synthesize(), 503, "model-failed")
            assert document["detail"] == "The model cannot be loaded: config.json is not valid JSON."
            fake.fault = None
            while engine.state is not EngineState.READY:  # until it works again
                await anyio.sleep(0.02)
                await synthesize()


async def test_a_load_ends_although_the_model_is_unloaded_and_loading_again_at_once(fake, monkeypatch):
    async with running({"fake": fake}, model_control=True) as (engines, _, admin):
        (engine,) = engines

        def interrupted():
            monkeypatch.undo()
            engine.unload(), fake.gate.clear(), engine.wake()

        assert (await admin.post(f"{REPOSITORY}/models/fake/unload")).status_code == 200
        monkeypatch.setattr("gc.freeze", interrupted)  # the last step of a load
        with anyio.fail_after(60.0):
            assert (await admin.post(f"{REPOSITORY}/models/fake/load")).status_code == 200
            fake.gate.set()
            await engines.wait_ready()
