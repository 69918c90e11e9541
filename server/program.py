"""The program once its command line is read: settings, the server, and what went wrong in one line."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from server.access.keys import KeyFileError
from server.process import ListenError, run
from server.settings import Settings

__all__ = ["serve"]


def serve(given: Mapping[str, Any]) -> int:
    """Serve until SIGINT or SIGTERM, and return the exit code that `server.cli.main` describes.

    Args:
        given: settings by name; those of the environment where one is left out.
    """
    try:
        return asyncio.run(run(Settings(**given)))
    except ValidationError as error:
        for entry in error.errors():
            print(f"vocoder-serve: {'.'.join(map(str, entry['loc']))}: {entry['msg']}", file=sys.stderr)
    except ListenError as error:
        print(f"vocoder-serve: {error}", file=sys.stderr)
        return 1
    except KeyFileError as error:
        print(f"vocoder-serve: {error}", file=sys.stderr)
    return 2
