"""Import another project's checkpoint as a model directory."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vocoder.checkpoint import CheckpointError, save_model
from vocoder.config import ConfigError
from vocoder.files import some
from vocoder.importers.nvidia_waveglow import import_waveglow
from vocoder.importers.r9y9_wavenet import import_r9y9
from vocoder.importers.weights import Imported, Weights, read_weights
from vocoder.mel.config_file import read_settings

Importer = Callable[[Weights, Mapping[str, Any] | None, Path | None], Imported]
"""builds a model from a checkpoint, its project's settings, and a file with the mean and variance of each mel band"""
IMPORTERS: Mapping[str, Importer] = MappingProxyType({"nvidia-waveglow": import_waveglow, "r9y9-wavenet": import_r9y9})

PRECISION = "it computes in float32, as the original does, unless another dtype is requested"


def import_model(
    layout: str, file: Path, directory: Path, *, config: Path | None = None, statistics: Path | None = None
) -> Imported:
    """Convert another project's checkpoint to a model directory.

    `layout` is a key of `IMPORTERS`, `config` the project's settings (JSON), and `statistics` holds mean and variance
    of each mel band (npz or JSON). Raises a CheckpointError if the checkpoint cannot be imported.
    """
    weights = read_weights(file)
    try:
        imported = IMPORTERS[layout](weights, None if config is None else read_settings(config), statistics)
    except ConfigError as error:  # in a file, or in the architecture or mel config that the files imply
        raise CheckpointError(f"{file} cannot be imported as {layout}: {error}") from error
    except (LookupError, RuntimeError) as error:
        raise CheckpointError(f"weights of {layout} are missing or of a wrong shape: {error}") from error
    if broken := [name for name, value in imported.model.state_dict().items() if not value.isfinite().all()]:
        raise CheckpointError(f"{file} holds weights that are not finite numbers, for {some(broken)}")
    origin = {"layout": layout, "file": weights.source, "sha256": weights.sha256, "step": weights.step}
    origin |= {"module": weights.module}
    provenance: dict[str, Any] = {"imported": {name: value for name, value in origin.items() if value is not None}}
    if imported.notes:
        provenance["notes"] = list(imported.notes)
    card = (
        f"# {Path(weights.source).stem}\n\nA vocoder imported from {weights.source} (layout {layout}, SHA-256 "
        f"`{weights.sha256}`).\nIts licence is that of the original, and its mel config is "
        f"`{imported.mel_config.name}`; see config.json.\n\n"
    )
    card += "".join(f"- {note}\n" for note in (PRECISION, *imported.notes))
    save_model(directory, imported.model, imported.mel_config, provenance, card=card)
    return imported
