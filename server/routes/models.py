"""GET /v1/models: the models and their mel configs."""

from functools import cache
from typing import Any

from fastapi import APIRouter

from server.audio.formats import FORMATS
from server.engine.engine import Engine, EngineState
from server.request.mel import MEDIA_TYPES
from server.routes.openapi import PROBLEMS
from server.service import Service, ServiceDependency
from vocoder.adapt.path import path_between, takes
from vocoder.config import to_dict
from vocoder.mel.config import ALIASES, MelConfig
from vocoder.mel.values import mel_range

router = APIRouter(tags=["models"], responses=PROBLEMS)


@router.get("/v1/models")
@router.get("/models", include_in_schema=False)
def list_models(service: ServiceDependency) -> dict[str, Any]:
    """List the models; the first one is the default."""
    return {
        "models": [_describe(engine, service) for engine in service.engines],
        "request_formats": list(MEDIA_TYPES),
        "response_formats": {offer.name: list(offer.media_types) for offer in FORMATS},
        "mel_presets": list(service.mel_configs),
    }


@router.get("/models/{name}", include_in_schema=False)
@router.get("/v1/models/{name}")
def show_model(name: str, service: ServiceDependency) -> dict[str, Any]:
    """Describe one model; start loading it if it is idle."""
    engine = service.engines.get(name)
    if engine.state is EngineState.IDLE:
        engine.wake()
    return _describe(engine, service)


def _describe(engine: Engine, service: Service) -> dict[str, Any]:
    if engine.about is None:
        return {"name": engine.name, "state": engine.state}
    info, config = engine.about
    values = mel_range(config)
    mel = {"layout": "(n_mels, frames)", "silence": values.silence, "plausible_range": list(values.plausible)}
    limits = ("max_frames", "max_body_bytes", "max_json_bytes", "max_audio_seconds", "queue_size")
    return {
        **info,
        "name": engine.name,
        "state": engine.state,
        "mel": {**to_dict(config), **mel},
        "accepts": _accepted_presets(config, tuple(service.mel_configs.items())),
        "limits": {name: getattr(service.settings, name) for name in limits},
    }


@cache
def _accepted_presets(target: MelConfig, known: tuple[tuple[str, MelConfig], ...]) -> list[dict[str, Any]]:
    """Return the presets that a model with mel config `target` accepts, as plain data.

    `aliases` are other names of the preset; `how` is `own`, `exact` or `adapter`. For adapters, `pesq_lost` and
    `distillmos_lost` are the measured losses by group of speech, and `lookahead` is in frames.
    """
    accepted = []
    for name, config in known:
        if not takes(config, target):
            continue
        path = path_between(config, target)
        aliases = [alias for alias, stands_for in ALIASES.items() if stands_for == name]
        told: dict[str, Any] = {"preset": name, "aliases": aliases, "how": path.how}
        told |= {"delay_samples": path.delay} if path.delay else {}
        if path.adapter is not None:
            lost = {measure: path.adapter.quality.get(measure) for measure in ("pesq_lost", "distillmos_lost")}
            told |= {"adapter": path.adapted, "lookahead": path.lookahead, **lost}
        accepted.append(told)
    return accepted
