"""Configurations as frozen dataclasses: strict conversion from and to dictionaries, and bounds of their values."""

import dataclasses
import json
import math
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Annotated, Any, TypeVar

T = TypeVar("T")

DTYPES = ("float32", "bfloat16", "int8")  # names of the precisions of a model's products


class ConfigError(ValueError):
    """A configuration holds an unknown, missing or invalid value."""


def from_dict(cls: type[T], data: Mapping[str, Any], path: str = "") -> T:
    """Build the frozen dataclass `cls` from a mapping, including nested dataclasses.

    Its `__post_init__` validates values. `path` is the mapping's place in a larger configuration, for error messages.
    Raises a ConfigError if a key is unknown or missing, or if a value has the wrong type.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path or cls.__name__} must be a mapping of fields, not {type(data).__name__}")
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if unknown := sorted(map(str, set(data) - set(fields))):
        raise ConfigError(f"{path or cls.__name__} has no field {', '.join(unknown)}; known: {', '.join(fields)}")
    hints = typing.get_type_hints(cls)
    values = {name: _convert(hints[name], value, f"{path}.{name}" if path else name) for name, value in data.items()}
    required = (n for n, field in fields.items() if field.default is field.default_factory is dataclasses.MISSING)
    if missing := [name for name in required if name not in values]:
        raise ConfigError(f"{path or cls.__name__} lacks {', '.join(missing)}")
    return cls(**values)


def check_options(given: Iterable[str], known: Iterable[str]) -> None:
    """Raise a TypeError if a given option is unknown."""
    if unknown := sorted(set(given) - set(known)):
        raise TypeError(f"unknown option {unknown[0]!r}; known: {', '.join(known)}")


POSITIVE, NOT_NEGATIVE, SHARE, COUNT = (math.ulp(0), math.inf), (0, math.inf), (0, 1), (1, math.inf)
"""bounds of settings"""
Positive = Annotated[float, POSITIVE]
NotNegative = Annotated[float, NOT_NEGATIVE]
NotNegativeInt = Annotated[int, NOT_NEGATIVE]
Share = Annotated[float, SHARE]
Count = Annotated[int, COUNT]
MAX_CORRECTIONS = 100
"""largest number of corrections; far fewer are useful"""
Corrections = Annotated[int, (0, MAX_CORRECTIONS)]
Range = tuple[float, ...]  # a setting of two numbers, [low, high]
Rules = Iterator[tuple[bool, str]]
"""for each rule whether it holds, and what is wrong if it does not"""


class Checked:
    """A dataclass that enforces its `_rules` and the annotations of its fields: `Literal`, and `Annotated` with bounds.

    Bounds hold for both ends of a range [low, high]; None is always allowed. Raises a ConfigError.
    """

    def __post_init__(self) -> None:
        bounds, choices = _annotated(type(self))  # type: ignore[arg-type]  # mypy takes classes for unhashable
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            values = value if isinstance(value, tuple) else (value,)
            if isinstance(value, tuple) and (len(value) != 2 or value[0] > value[1]):
                raise ConfigError(f"{name} must be a range [low, high], not {list(value)}")
            if not all(math.isfinite(v) and low <= v <= high for v in values if v is not None):
                least = "above 0" if low == POSITIVE[0] else f"at least {low:g}"
                most = f" and at most {high:g}" if math.isfinite(high) else ""
                raise ConfigError(f"{name} must be {least}{most}, not {value}")
        for name, known in choices.items():
            if (value := getattr(self, name)) not in known:
                raise ConfigError(f"{name} must be {' or '.join(map(repr, known))}, not {value!r}")
        for holds, fault in self._rules():
            if not holds:
                raise ConfigError(fault)

    def _rules(self) -> Rules:
        """Yield the rules about several fields; the first that does not hold is raised."""
        yield from ()


@cache
def _annotated(cls: type) -> tuple[dict[str, tuple[float, float]], dict[str, tuple[Any, ...]]]:
    """Return the bounds and the choices of the fields that have them."""
    hints = typing.get_type_hints(cls, include_extras=True)
    options = {name: (hint, *typing.get_args(hint)) for name, hint in hints.items()}
    bounds = {
        name: each.__metadata__[0] for name, some in options.items() for each in some if hasattr(each, "__metadata__")
    }
    choices = {name: typing.get_args(hint) for name, hint in hints.items() if typing.get_origin(hint) is typing.Literal}
    return bounds, choices


def to_dict(config: Any) -> dict[str, Any]:
    """Return a configuration as plain dictionaries, lists and scalars, ready for JSON."""
    return dict(json.loads(json.dumps(dataclasses.asdict(config))))


def _convert(hint: Any, value: Any, path: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        options, reasons = typing.get_args(hint), []
        if value is None and type(None) in options:
            return None
        for option in (option for option in options if option is not type(None)):
            try:
                return _convert(option, value, path)
            except ConfigError as error:
                reasons.append(str(error))
        raise ConfigError("; ".join(reasons))
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else from_dict(hint, value, path)  # type: ignore[arg-type]
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{path} must be a list, not {value!r}")
        item = typing.get_args(hint)[0]
        return tuple(_convert(item, entry, f"{path}[{i}]") for i, entry in enumerate(value))
    if origin is typing.Literal:
        if value not in typing.get_args(hint):
            raise ConfigError(f"{path} must be one of {', '.join(map(repr, typing.get_args(hint)))}, not {value!r}")
        return value
    if hint is float and type(value) is int:
        return float(value)
    if hint is Any or type(value) is hint or (hint not in (int, float, bool) and isinstance(value, hint)):
        return value
    raise ConfigError(f"{path} must be {hint.__name__}, not {value!r}")
