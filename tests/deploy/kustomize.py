"""What `kubectl kustomize` makes of this project's folders: as much of it as they use, and an error for the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
KNOWN = {"apiVersion", "kind", "resources", "configMapGenerator", "images", "patches"}


def build(folder: Path, *components: Path) -> list[Manifest]:
    """Return the manifests of a kustomization, and of components as if it named them."""
    manifests: list[Manifest] = []
    for part in (folder, *components):
        text = yaml.safe_load((part / "kustomization.yaml").read_text(encoding="utf-8"))
        assert set(text) <= KNOWN, f"{part} uses what this does not know"
        for name in text.get("resources", []):
            path = part / name
            manifests += build(path) if path.is_dir() else yaml.safe_load_all(path.read_text(encoding="utf-8"))
        for generator in text.get("configMapGenerator", []):
            data = {name: (part / name).read_text(encoding="utf-8") for name in generator["files"]}
            manifests.append(
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generator["name"]}, "data": data}
            )
        _set_images(text.get("images", []), manifests)
        for patch in text.get("patches", []):
            _patch(patch, manifests)
    return manifests


def _set_images(images: list[dict[str, str]], manifests: list[Manifest]) -> None:
    for manifest in manifests:
        for container in manifest["spec"]["template"]["spec"]["containers"] if manifest["kind"] == "Deployment" else []:
            name = container["image"].partition(":")[0]
            container["image"] = next(
                (f"{name}:{image['newTag']}" for image in images if image["name"] == name), container["image"]
            )


def _patch(patch: dict[str, Any], manifests: list[Manifest]) -> None:
    """Apply a JSON patch (RFC 6902) of `add`, `replace` and `test` to its target."""
    kind, name = patch["target"]["kind"], patch["target"]["name"]
    (target,) = [item for item in manifests if (item["kind"], item["metadata"]["name"]) == (kind, name)]
    for operation in yaml.safe_load(patch["patch"]):
        *path, last = operation["path"].removeprefix("/").split("/")
        place: Any = target
        for step in path:
            place = place[int(step) if isinstance(place, list) else step]
        if operation["op"] == "test":
            assert place[last] == operation["value"], operation["path"]
        elif isinstance(place, list):
            assert (operation["op"], last) == ("add", "-")
            place.append(operation["value"])
        else:
            assert operation["op"] == ("replace" if last in place else "add"), operation["path"]
            place[last] = operation["value"]
