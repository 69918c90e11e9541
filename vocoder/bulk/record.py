"""The record of the options that made the files of a folder: a later run adds to them or replaces them all."""

import hashlib
import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from vocoder.bulk.synthesis import BulkOptions
from vocoder.checkpoint import read_config
from vocoder.config import to_dict
from vocoder.files import complete, files_in, some
from vocoder.loading import model_directory, own_dtype
from vocoder.mel.config import MelConfig
from vocoder.sampling import sampling_fields

IDENTITY = ("family", "architecture", "mel", "weights_sha256")
"""fields of a model's config.json that affect its audio"""
DIGESTS = ("model", "contract")
"""recorded options whose values say nothing to a reader"""
REMEDY = "give another folder, or --again to replace"


def record_folder(output: Path, command: str) -> Path:
    """Return the folder of a command's record in its output folder."""
    return output / f".vocoder-{command}"


def record(
    output: Path, command: str, made: dict[str, Any], targets: Sequence[Path], suffixes: Collection[str], again: bool
) -> None:
    """Record the options of a run in its output folder; with `again`, delete `targets` made with others.

    Raises a ValueError if the folder has files with these suffixes made with other options, or targets of unknown
    origin; with `again` only files that no target replaces count.
    """
    path = record_folder(output, command) / "record.json"
    existing = {target for target in targets if os.path.exists(target)}  # noqa: PTH110 - its name may be too long
    kinds = {target.suffix for target in targets} if again else suffixes
    others = [file for file, _ in files_in(output, kinds) if file not in existing] if path.exists() else []
    if others or (existing and not again):
        old = _read(path)
        changed = {name: (old.get(name), now) for name, now in made.items() if old.get(name) != now}
        if changed:
            left = some([file.name for file in others])
            mixed = f"give another folder, or also the sources of {left}, or delete these"
            alike = {"dtype"} == changed.keys() <= old.keys()
            same = f"pass --dtype {old['dtype']} to vocoder {command}, " if alike else ""
            found = "; ".join(map(_change, changed, changed.values()))
            raise ValueError(f"{output} holds files made with {found}; {same}{mixed if again else f'{REMEDY} them'}")
    text = json.dumps({"made": made}, indent=1)
    if path.exists() and path.read_bytes() == text.encode():
        return
    for target in existing if again else ():
        target.unlink()
    with complete(path) as part:
        part.write_text(text, encoding="utf-8")


def synthesis_of(options: BulkOptions) -> dict[str, Any]:
    """Return the options that must be the same for all audio in a folder."""
    config = read_config(model_directory(options.model))
    own = own_dtype(str(config.get("family")), config.get("provenance", {}), options.device)
    dtype = options.dtype or str(own).removeprefix("torch.")
    model, sampling = digest([config.get(name) for name in IDENTITY]), options.sampling
    preset = sampling.preset
    made = {"model": model, "format": options.format, "preset": preset, "dtype": dtype, **sampling_fields(sampling)}
    if options.guard == "strict":  # audio made without it may include refused mels; the reverse is no problem
        made |= {"guard": options.guard}
    if preset is not None:
        made |= {"adapt": sampling.adapt}
    if isinstance(preset, MelConfig):  # its file may change before the next run
        made |= {"preset": preset.name, "contract": digest(to_dict(preset))}
    return made


def digest(value: Any) -> str:
    """Return a short checksum of a value of JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _change(name: str, values: tuple[Any, Any]) -> str:
    if name in DIGESTS:
        return f"another {'mel config' if name == 'contract' else name}"
    before, now = ("left out" if value is None else repr(value) for value in values)
    return f"{name} {before}, not {now}"


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["made"])
    except FileNotFoundError:
        folder = path.parent.parent
        raise ValueError(
            f"{folder} holds files of these names that this command did not write; {REMEDY} them"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({error}); {REMEDY} its files") from None
