"""Mel configs by name or from a file; statistics from a file."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vocoder.config import ConfigError, from_dict
from vocoder.files import read_small
from vocoder.mel.config import PRESETS, MelConfig, MelConfigs, canonical, preset

AUTO = "auto"
"""in place of a preset: recognise it from the mel"""
CONFIG_SUFFIXES = (".yaml", ".yml", ".json")
MAX_BYTES = 2**16  # statistics of 512 bands take a quarter of it

Statistics = tuple[ArrayLike, ArrayLike]


def load_mel_config(name: str | Path | MelConfig, statistics: Path | str | Statistics | None = None) -> MelConfig:
    """Return a mel config: a preset by name, or a mel config file.

    `statistics` are mean and variance, of each band or of all, or a file of both, for normalised mels. Raises a
    ConfigError if there is no such preset or file, or something in it is wrong.
    """
    if isinstance(name, MelConfig):
        found = name
    else:
        found = read_config_file(Path(name)) if Path(name).suffix in CONFIG_SUFFIXES else preset(str(name))
    if statistics is None:
        return found
    return with_statistics(found, read_statistics(statistics) if isinstance(statistics, (str, Path)) else statistics)


def chosen_config(name: str | Path | MelConfig | None, statistics: str | Path | None) -> MelConfig | str | None:
    """Return the mel config named for mels, "auto" to recognise it, or None if none is named.

    Raises a ConfigError also if there are statistics and no mel config that they belong to.
    """
    if name is not None and name != AUTO:
        return load_mel_config(name, statistics)
    if statistics is not None:
        raise ConfigError("statistics belong to mels of a preset or file, not of auto: name that too")
    return AUTO if name else None


def with_statistics(config: MelConfig, statistics: Statistics) -> MelConfig:
    """Return the mel config with mean and variance for normalised mels, one number of each being that of all bands.

    Raises a ConfigError if they do not fit.
    """
    values = (np.asarray(given, np.float64).ravel().tolist() for given in statistics)
    mean, variance = (tuple(each) * (config.n_mels if len(each) == 1 else 1) for each in values)
    return dataclasses.replace(config, mean=mean, variance=variance)


def read_config_file(path: Path) -> MelConfig:
    """Read a mel config file, whose name is the default name.

    Raises a ConfigError if there is no such file, it is not YAML or JSON, or a field is unknown, missing or wrong.
    """
    try:
        text = read_small(path, MAX_BYTES).decode("utf-8")
        data = json.loads(text) if path.suffix == ".json" else _yaml(text)
    except OSError as error:
        raise ConfigError(f"cannot read the mel config {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the mel config {path} is no {path.suffix[1:].upper()}: {error}") from error
    if not isinstance(data, Mapping):
        raise ConfigError(f"the mel config {path} must hold the fields of a mel config, as `sample_rate: 44100`")
    return from_dict(MelConfig, {"name": path.stem, **data}, str(path))


def known_presets(directory: Path | None) -> MelConfigs:
    """Return the presets, and after them the mel configs of a directory, named after their files.

    Raises a ConfigError if there is no such directory, a file is wrong, or a name is taken already.
    """
    if directory is None:
        return PRESETS
    if not directory.is_dir():
        raise ConfigError(f"there is no directory {directory} of mel configs")
    known = dict(PRESETS)
    for path in sorted(path for path in directory.iterdir() if path.suffix in CONFIG_SUFFIXES):
        if canonical(path.stem, known) is not None:
            raise ConfigError(f"{path}: there is a mel config of the name {path.stem!r} already; rename the file")
        known[path.stem] = dataclasses.replace(read_config_file(path), name=path.stem)
    return known


def read_statistics(path: Path | str) -> Statistics:
    """Read `mean` and `variance` from an npz or JSON file.

    Raises a ConfigError if they are missing, or no numbers.
    """
    path = Path(path)
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                data: Mapping[str, Any] = dict(arrays)
        else:
            data = json.loads(path.read_bytes())
        return np.asarray(data["mean"], np.float64), np.asarray(data["variance"], np.float64)
    except OSError as error:
        raise ConfigError(f"cannot read the statistics {path}: {error.strerror}") from error
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path} must hold mean and variance, a number for each band or for all ({error})") from error


def _yaml(text: str) -> Any:
    import yaml  # only mel configs in YAML need it

    try:
        # A few aliases of aliases stand for billions of values.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise ValueError("aliases (*name) are not allowed")
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
