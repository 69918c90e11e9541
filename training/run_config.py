"""Reads configurations from a YAML file and `key=value` overrides into frozen dataclasses."""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import yaml

from vocoder.config import ConfigError, from_dict, to_dict
from vocoder.files import complete
from vocoder.mel.config_file import read_settings
from vocoder.plain_yaml import parse_yaml

T = TypeVar("T")


def add_run_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Declare the arguments of every training command: `--config`, `--resume` and overrides."""
    add = parser.add_argument
    add("--config", type=Path, required=required, metavar="FILE", help="YAML configuration of the run")
    add("--resume", action="store_true", help="continue the run from its last checkpoint")
    add("overrides", nargs="*", metavar="key=value", help="replace a setting, for example trainer.steps=20000")


def command_of(
    kind: type[T], train: Callable[[T, bool], object], default: Path | None = None
) -> tuple[Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]:
    """Return `add_arguments` and `run` of the command for a kind of run. `run` calls `train(config, resume)`.

    `--config` may be left out if there is a default configuration.
    """

    def run(args: argparse.Namespace) -> int:
        file: Any = args.config or default
        train(load_config(kind, file, args.overrides), args.resume)
        return 0

    return partial(add_run_arguments, required=default is None), run


def load_config(cls: type[T], file: Path, overrides: Sequence[str] = ()) -> T:
    """Read `file`, apply `a.b=value` overrides in order, and build the frozen dataclass `cls`.

    If `cls` has a class method `complete`, it fills in settings that follow from others. Raises ConfigError if the file
    is missing or not YAML, or a setting is unknown, missing or invalid.
    """
    data = read_settings(file)
    try:
        for override in overrides:
            _override(data, override)
        getattr(cls, "complete", lambda settings: None)(data)
        return from_dict(cls, data)
    except ConfigError as error:
        raise ConfigError(f"{error} (of {' '.join(map(str, (file, *overrides)))})") from error


def write_config(config: Any, file: Path) -> None:
    """Write a configuration that `load_config` can read."""
    with complete(file) as part:
        part.write_text(yaml.safe_dump(to_dict(config), sort_keys=False), encoding="utf-8")


def changes(before: Any, now: Any, name: str = "") -> list[str]:
    """Return texts on the settings that both have but with different values."""
    if isinstance(before, dict) and isinstance(now, dict):
        both = [key for key in now if key in before]
        return [text for key in both for text in changes(before[key], now[key], f"{name}.{key}".lstrip("."))]
    return [] if before == now else [f"{name} {before} -> {now}"]


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    names = key.split(".")
    if not equals or not all(names):
        raise ConfigError(f"an override must look like name=value or group.name=value, not {override!r}")
    for depth, name in enumerate(names[:-1], start=1):
        data = data.setdefault(name, {})
        if not isinstance(data, dict):
            raise ConfigError(f"cannot set {override!r}: {'.'.join(names[:depth])} is a single value, not a group")
    try:
        data[names[-1]] = parse_yaml(value)
    except ValueError as error:
        raise ConfigError(f"the value of {override!r} is not valid YAML: {error}") from error
