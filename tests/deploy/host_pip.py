"""Write the host's pip settings to one file for a build container, and list the mounts that it needs.

Usage: ``python3 host_pip.py PIP_CONF``. Prints one line ``path:path:ro`` for each file or folder in the
settings, PIP_CONF itself as the container's ``/etc/pip.conf``, and the host's certificate authorities.
"""

import ast
import os
import ssl
import subprocess
import sys
from pathlib import Path

PATH_SETTINGS = {"build-constraint", "cert", "client-cert", "constraint", "find-links"}


def pip_settings():
    """Return all pip settings of this host, from files and ``PIP_*``: {section: {name: value}}."""
    command = [sys.executable, "-m", "pip", "config", "list"]
    listing = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    settings = {}
    # The environment comes first in the listing and wins over the files.
    for line in listing.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.rpartition(".")
        target = settings.setdefault("global" if section == ":env:" else section, {})
        target.setdefault(key, ast.literal_eval(value))
    return settings


def local_paths(settings):
    """Return the files and folders of this machine that the settings point to."""
    values = [value for section in settings.values() for key, value in section.items() if key in PATH_SETTINGS]
    words = [word.removeprefix("file://") for value in values for word in value.split()]
    return {path for word in words if (path := Path(word)).is_absolute() and path.exists()}


def main():
    target = Path(sys.argv[1])
    settings = pip_settings()
    authorities = ssl.get_default_verify_paths().cafile or os.environ.get("SSL_CERT_FILE")
    if authorities and "cert" not in settings.setdefault("global", {}):
        settings["global"]["cert"] = authorities
    text = ""
    for section, values in settings.items():
        lines = [f"{key} = " + value.strip().replace("\n", "\n    ") for key, value in values.items()]
        text += "\n".join([f"[{section}]", *lines, ""])
    target.write_text(text, encoding="utf-8")
    print(f"{target}:/etc/pip.conf:ro")
    for path in sorted(local_paths(settings)):
        print(f"{path}:{path}:ro")


if __name__ == "__main__":
    main()
