"""Importing one module of a package whose other requirements are missing."""

import sys
from collections.abc import Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType


class _Anything:
    """Replaces anything from a missing package: a base class, a type, a decorator or a function."""

    def __call__(self, *given, **options):
        return given[0] if len(given) == 1 and callable(given[0]) and not options else self

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __getitem__(self, _):
        return self

    def __mro_entries__(self, _):
        return (object,)

    def __or__(self, _):
        return self

    __ror__ = __or__


class _StubModule(ModuleType):
    __path__: Sequence[str] = ()

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything()


class _Stubs(Loader, MetaPathFinder):
    """Finds a stub for every missing module that code in a directory imports."""

    def __init__(self, directory):
        self._directory = str(directory)

    def find_spec(self, name, path=None, target=None):
        frame = sys._getframe(1)
        while frame is not None and "importlib" in frame.f_code.co_filename:
            frame = frame.f_back
        imported_there = frame is not None and frame.f_code.co_filename.startswith(self._directory)
        return ModuleSpec(name, self, is_package=True) if imported_there else None

    def create_module(self, spec):
        return _StubModule(spec.name)

    def exec_module(self, module):
        """Leave the stub unchanged."""


def _loaded(name, file):
    spec = spec_from_file_location(name, file)
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@contextmanager
def module_of(name, directory, *, alone=False):
    """Import a module from a directory of packages without running the packages' own `__init__`.

    Missing modules become stubs, and with `alone` also the rest of its package.
    """
    directory = directory.absolute()
    path = directory.joinpath(*name.split("."))
    if not path.with_suffix(".py").is_file():
        raise ModuleNotFoundError(f"{directory} holds no module {name}")
    before, finder = dict(sys.modules), _Stubs(directory)
    parents = name.split(".")[:-1]
    sys.path.append(str(directory))
    sys.meta_path.append(finder)
    try:
        for depth in range(len(parents)):
            package = _StubModule(".".join(parents[: depth + 1]))
            package.__path__ = [] if alone else [str(directory.joinpath(*parents[: depth + 1]))]
            sys.modules[package.__name__] = package
        yield _loaded(name, path.with_suffix(".py"))
    finally:
        sys.meta_path.remove(finder)
        sys.path.remove(str(directory))
        for added, module in list(sys.modules.items()):
            if added not in before and (isinstance(module, _StubModule) or added.split(".")[0] == parents[0]):
                del sys.modules[added]
