"""Read mel configs by name or from a file, and statistics from a file."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import ArrayLike

from vocoder.config import ConfigError, from_dict
from vocoder.files import read_small
from vocoder.mel.config import PRESETS, MelConfig, MelConfigs, canonical, preset

AUTO = "auto"
"""in place of a preset: recognise it from the mel"""
CONFIG_SUFFIXES = (".yaml", ".yml", ".json")
MAX_BYTES = 2**16  # statistics of 512 bands take a quarter

Statistics = tuple[ArrayLike, ArrayLike]


def load_mel_config(name: str | Path | MelConfig, statistics: Path | str | Statistics | None = None) -> MelConfig:
    """Return a mel config: a preset by name, or one from a file.

    For normalised mels, `statistics` holds mean and variance, per band or for all bands, or is a file with both. Raises
    a ConfigError if the preset or file does not exist or is invalid.
    """
    if not isinstance(name, (str, Path, MelConfig)):
        raise ConfigError(f"a preset must be a name, a file or a MelConfig, not {type(name).__name__}")
    if not isinstance(name, MelConfig):
        name = read_config_file(Path(name)) if Path(name).suffix in CONFIG_SUFFIXES else preset(str(name))
    statistics = read_statistics(Path(statistics)) if isinstance(statistics, (str, Path)) else statistics
    return name if statistics is None else with_statistics(name, statistics)


def chosen_config(name: str | Path | MelConfig | None, statistics: str | Path | None) -> MelConfig | str | None:
    """Return the mel config of `load_mel_config`, "auto" to recognise it, or None if no name is given."""
    if name is not None and name != AUTO:
        return load_mel_config(name, statistics)
    if statistics is not None:
        raise ConfigError("statistics need the preset or mel config file that they belong to, other than auto")
    return AUTO if name else None


def with_statistics(config: MelConfig, statistics: Statistics) -> MelConfig:
    """Return the config with mean and variance, per band or one for all; raises a ConfigError if they do not fit."""
    try:
        given = [np.asarray(each, np.float64).ravel().tolist() for each in statistics]
        mean, variance = (tuple(values) * (config.n_mels if len(values) == 1 else 1) for values in given)
    except (TypeError, ValueError) as error:
        sizes = f"each one number or {config.n_mels} (n_mels)"
        raise ConfigError(f"statistics must be (mean, variance), {sizes}, or a file with both: {error}") from None
    return dataclasses.replace(config, mean=mean, variance=variance)


def read_config_file(path: Path) -> MelConfig:
    """Read a mel config file, by default with the file's name; raises a ConfigError if it is invalid."""
    return from_dict(MelConfig, {"name": path.stem, **read_settings(path, aliases=False)}, str(path))


def read_settings(path: Path, aliases: bool = True) -> dict[str, Any]:
    """Return the settings in a JSON or YAML file, perhaps with `aliases`; raises a ConfigError if it is invalid."""
    from vocoder.plain_yaml import parse_yaml  # only files of settings need PyYAML

    form = "JSON" if path.suffix == ".json" else "YAML"
    try:
        text = read_small(path, MAX_BYTES).decode("utf-8")
        data = json.loads(text) if form == "JSON" else parse_yaml(text, aliases)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid {form}: {error}") from error
    if not isinstance(data, dict | None):
        raise ConfigError(f"{path} must hold settings as `name: value`, not {type(data).__name__}")
    return data or {}


def known_presets(directory: Path | None) -> MelConfigs:
    """Return the presets and the mel configs in a directory, by the names of files; raises a ConfigError if invalid."""
    if directory is None:
        return PRESETS
    if not directory.is_dir():
        raise ConfigError(f"there is no directory {directory} of mel configs")
    known = dict(PRESETS)
    for path in sorted(path for path in directory.iterdir() if path.suffix in CONFIG_SUFFIXES):
        if canonical(path.stem, known) is not None:
            raise ConfigError(f"{path}: the name {path.stem!r} is already taken; rename the file")
        known[path.stem] = dataclasses.replace(read_config_file(path), name=path.stem)
    return known


def read_statistics(path: Path) -> Statistics:
    """Read mean and variance from npz or JSON, from sums (ESPnet's npz), or npy of mean and deviation (PaddleSpeech's).

    Raises a ConfigError if they are missing or not numbers.
    """
    try:
        if path.suffix == ".npy":
            mean, deviation = np.load(path, allow_pickle=False).astype(np.float64)
            return mean, deviation**2
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                data: Mapping[str, Any] = dict(arrays)
            if "sum_square" in data:
                mean = data["sum"] / data["count"]
                data = {"mean": mean, "variance": data["sum_square"] / data["count"] - mean**2}
        else:
            data = json.loads(path.read_bytes())
        return np.asarray(data["mean"], np.float64), np.asarray(data["variance"], np.float64)
    except OSError as error:
        raise ConfigError(f"cannot read the statistics {path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError, RecursionError, BadZipFile) as error:
        fault = f"it lacks {error}" if isinstance(error, KeyError) else error
        form = "mean and variance as npz or JSON, or mean and deviation as npy"
        raise ConfigError(f"{path} must hold {form} ({fault})") from error
