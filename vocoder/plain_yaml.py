"""Read YAML as plain data, with the floats and booleans of YAML 1.2; integers are those of YAML 1.1, as in PyYAML."""

import re
from collections.abc import Hashable
from typing import Any

import yaml


def parse_yaml(text: str, aliases: bool = True) -> Any:
    """Return the data of a text: 1e-3 is a number, and only true and false are booleans.

    Raises a ValueError if the text is not YAML, sets a name twice, or has aliases although they are not allowed: a few
    nested ones can expand to billions of values.
    """
    try:
        if not aliases and any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise ValueError("aliases (*name) are not allowed")
        return yaml.load(text, Loader=_Loader)  # _Loader is a SafeLoader: no objects, no code
    except Exception as error:  # PyYAML raises many kinds for values that do not fit their tag
        raise ValueError(" ".join(str(error).split())) from error


class _Loader(yaml.SafeLoader):
    """YAML's safe subset, with the floats and booleans of YAML 1.2."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Refuse repeated keys, of which PyYAML silently keeps the last."""
        known = set[str]()
        for name in (key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if name in known:
                raise yaml.constructor.ConstructorError(None, None, f"{name!r} is set twice", node.start_mark)
            known.add(name)
        return super().construct_mapping(node, deep)


_REPLACED = {"tag:yaml.org,2002:bool", "tag:yaml.org,2002:float", "tag:yaml.org,2002:timestamp"}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in _REPLACED]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_FLOAT = r"^(?:[-+]?(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?\d+[eE][-+]?\d+|[-+]?\.inf|\.nan)$"
for _tag, _pattern in {"bool": "^(?:true|false)$", "float": _FLOAT}.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), None)
