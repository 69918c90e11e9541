"""HTML from the templates beside this file; whatever is put into them is escaped."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(template: str, **values: Any) -> str:
    """Return a template filled in.

    Raises:
        jinja2.UndefinedError: a value is missing.
    """
    loader = PackageLoader("training.evaluate.listening")
    page = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return page.get_template(template).render(**values)
