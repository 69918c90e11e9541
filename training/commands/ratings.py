"""`vocoder-train ratings`: sum up the ratings of a blind test."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.evaluate.listening.ratings import read_key, read_ratings, unreliable, verdicts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("key", type=Path, help="blind-key.json, which `evaluate` wrote beside blind.html")
    parser.add_argument("ratings", type=Path, nargs="+", help="CSV files from listeners")
    parser.add_argument("--all", action="store_true", help="keep listeners who rated the hidden reference low")


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    key = read_key(args.key)
    ratings = [rating for path in args.ratings for rating in read_ratings(path, key)]
    left_out = [] if args.all else unreliable(ratings)
    print(f"{'candidate':30}  {'ratings':>7}  {'mean':>5}  95 % interval")
    for verdict in verdicts(rating for rating in ratings if rating.listener not in left_out):
        print(f"{verdict.candidate:30}  {verdict.ratings:7d}  {verdict.mean:5.1f}  +- {verdict.half_interval:.1f}")
    for name in left_out:
        print(f"{name} is left out: gave the hidden reference less than 90 too often (--all keeps everybody)")
    return 0
