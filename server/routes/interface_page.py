"""An OpenAPI document as one plain page of HTML, without scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

__all__ = ["render_interface"]

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c; }
h2 { margin-top: 2.5rem; border-top: 1px solid #ccc; padding-top: 1rem; font-size: 1.2rem; }
h3 { font-size: 1rem; margin-bottom: 0.2rem; }
code { background: #f1f1f1; padding: 0.1em 0.3em; border-radius: 3px; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 0.8rem 0.25rem 0; border-bottom: 1px solid #eee; }
"""


def render_interface(document: Mapping[str, Any]) -> str:
    """Return the page: every route with its parameters, bodies and answers."""
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}")
    routes = [
        _route(method, path, operation)
        for path, operations in document.get("paths", {}).items()
        for method, operation in operations.items()
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body>\n'
        f"<h1>{title}</h1>\n<p>{escape(info.get('summary', ''))} "
        f'For machines: <a href="openapi.json">/openapi.json</a>.</p>\n{"".join(routes)}</body></html>\n'
    )


def _route(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>\n"]
    parts.append(f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>\n")
    parameters = [_parameter(entry) for entry in operation.get("parameters", [])]
    parts.append(_table("Parameters", ("name", "in", "value", "meaning"), parameters))
    body = operation.get("requestBody", {})
    bodies = [(_code(kind), escape(body.get("description", ""))) for kind in body.get("content", {})]
    parts.append(_table("Body", ("Content-Type", "content"), bodies))
    answers = [_answer(status, response) for status, response in operation.get("responses", {}).items()]
    parts.append(_table("Answers", ("status", "content", "headers", "meaning"), answers))
    return "".join(parts)


def _parameter(entry: Mapping[str, Any]) -> tuple[str, ...]:
    name = _code(entry["name"]) + (" (required)" if entry.get("required") else "")
    description = entry.get("description") or entry.get("schema", {}).get("description", "")
    return name, escape(entry["in"]), escape(_value(entry.get("schema", {}))), escape(description)


def _value(schema: Mapping[str, Any]) -> str:
    """Return what a parameter may be, in a few words."""
    choices = [_value(part) for part in schema.get("anyOf", []) if part.get("type") != "null"]
    if choices:
        return " or ".join(choices)
    words = [", ".join(map(str, schema["enum"]))] if "enum" in schema else [str(schema.get("type", "any"))]
    words += [f"{word} {schema[name]}" for name, word in BOUNDS.items() if name in schema]
    words += [f"default {schema['default']}"] if schema.get("default") is not None else []
    return ", ".join(words)


BOUNDS = {"minimum": "from", "maximum": "to", "exclusiveMaximum": "below", "maxLength": "at most characters:"}


def _answer(status: str, response: Mapping[str, Any]) -> tuple[str, ...]:
    kinds = ", ".join(_code(kind) for kind in response.get("content", {}))
    headers = ", ".join(_code(name) for name in response.get("headers", {}))
    return _code(status), kinds, headers, escape(response.get("description", ""))


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Return a table of cells that are HTML already; nothing where there are no rows."""
    if not rows:
        return ""
    head = "".join(f"<th>{column}</th>" for column in columns)
    lines = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<h3>{title}</h3>\n<table><tr>{head}</tr>\n{lines}</table>\n"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"
