"""The structure of the code: small files and functions, packages, and tests that mirror the tree."""

import ast
import functools
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("vocoder", "training", "server", "recipes")
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50
VAGUE_NAMES = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py"}


def source_files(*folders):
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def relative(path):
    return str(path.relative_to(ROOT))


PACKAGE_FILES = source_files(*PACKAGES)
TESTS_OF = {package: sorted((ROOT / "tests" / package).rglob("test_*.py")) for package in PACKAGES}
ALL_FILES = source_files(*PACKAGES, "tests", "examples", "benchmarks", "deploy")


@functools.cache
def nodes_of(path):
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imported_modules(path):
    nodes = nodes_of(path)
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return found | {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}


def test_packages_do_not_import_tests_examples_benchmarks_or_deploy():
    outside = {"tests", "examples", "benchmarks", "deploy"}
    found = {relative(p): {name.split(".")[0] for name in imported_modules(p)} & outside for p in PACKAGE_FILES}
    assert {path: names for path, names in found.items() if names} == {}


def test_files_and_functions_are_short():
    assert {relative(path).split("/")[0] for path in PACKAGE_FILES} == set(PACKAGES)
    assert len(ALL_FILES) > len(PACKAGE_FILES) > 100
    lengths = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in ALL_FILES}
    assert {path: length for path, length in lengths.items() if length > MAX_FILE_LINES} == {}
    lengths = {
        f"{relative(path)}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in ALL_FILES
        for node in nodes_of(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}


def test_every_folder_of_code_is_a_package_and_no_file_has_a_vague_name():
    folders = {path.parent for path in PACKAGE_FILES}
    assert [relative(folder) for folder in sorted(folders) if not (folder / "__init__.py").is_file()] == []
    untyped = [package for package in PACKAGES if not (ROOT / package / "py.typed").is_file()]
    assert untyped == ["recipes"]  # not part of the wheel
    assert [relative(path) for path in ALL_FILES if path.name in VAGUE_NAMES] == []


def test_the_tests_mirror_the_tree():
    folders = {path.parent.relative_to(ROOT / "tests") for package in PACKAGES for path in TESTS_OF[package]}
    elsewhere = {Path("server/page"): "server/pages", Path("server/client"): "vocoder/client"}
    assert [folder for folder in sorted(folders) if not (ROOT / elsewhere.get(folder, folder)).is_dir()] == []
    assert all(TESTS_OF.values())
