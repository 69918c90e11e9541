"""`vocoder push`: share a model directory on the Hugging Face hub."""

from __future__ import annotations

import argparse
from pathlib import Path

from vocoder.hub import push_to_hub


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = (
        "Share a model directory as a repository of the Hugging Face hub, with the token of `hf auth login`. "
        "Then `vocoder.load` and every --model take the id of the repository."
    )
    parser.add_argument("model", type=Path, metavar="DIR", help="model directory")
    parser.add_argument(
        "repository", metavar="OWNER/NAME", help="id of the repository, which is created if it does not exist"
    )
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--message", help="commit message")


def run(args: argparse.Namespace) -> int:
    """Share the model and print where it is."""
    print(push_to_hub(args.model, args.repository, private=args.private, message=args.message))
    return 0
