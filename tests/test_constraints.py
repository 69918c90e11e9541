"""The constraints pin every dependency of the project and contain nothing specific to one machine."""

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = {
    "vocoder": ("client", "export", "hub"),
    "server": ("server",),
    "training": ("training", "evaluation", "kokoro"),
}
"""the extras that each package may import in addition to the common dependencies"""
DISTRIBUTIONS = {"pythonjsonlogger": "python-json-logger", "sklearn": "scikit-learn", "yaml": "pyyaml"}
BROUGHT_BY = {"anyio": "fastapi", "starlette": "fastapi", "pydantic_core": "pydantic", "h11": "uvicorn"}
BROUGHT_BY |= {"llvmlite": "numba", "typing_extensions": "torch"}


def constraint_lines():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def named_requirements():
    extras = PROJECT["optional-dependencies"].values()
    return sorted({*PROJECT["dependencies"], *(name for extra in extras for name in extra)})


def test_lines_are_sorted_unique_exact_versions_without_cuda():
    exact = re.compile(r"[\w.-]+==[\w.]+(; python_version [<>]=? \"3\.\d+\")?")
    assert [line for line in constraint_lines() if not exact.fullmatch(line)] == []
    names = [canonicalize_name(Requirement(line).name) for line in constraint_lines()]
    assert len(names) > 100
    assert names == sorted(set(names))
    assert [line for line in constraint_lines() if re.match(r"nvidia|cuda|triton==", line)] == []


def test_each_requirement_is_pinned_within_its_range():
    pins = {canonicalize_name(Requirement(line).name): Requirement(line) for line in constraint_lines()}

    def pinned(wanted):
        pin = pins.get(canonicalize_name(wanted.name))
        return pin is not None and wanted.specifier.contains(next(iter(pin.specifier)).version)

    assert len(named_requirements()) > 30
    assert [text for text in named_requirements() if not pinned(Requirement(text))] == []


def third_party_imports(package):
    found = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                found.add(node.module.split(".")[0])
    return found - sys.stdlib_module_names - set(EXTRAS)


@pytest.mark.parametrize("package", EXTRAS)
def test_each_package_only_imports_dependencies_of_its_extras(package):
    extras = PROJECT["optional-dependencies"]
    named = [*PROJECT["dependencies"], *(line for extra in EXTRAS[package] for line in extras.get(extra, ()))]
    known = {canonicalize_name(Requirement(line).name) for line in named}
    imported = {BROUGHT_BY.get(name, DISTRIBUTIONS.get(name, name)) for name in third_party_imports(package)}
    assert {canonicalize_name(name) for name in imported} - known == set()
