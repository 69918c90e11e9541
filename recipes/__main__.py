"""`python -m recipes`: one command for each recipe."""

from __future__ import annotations

import argparse

from recipes.acoustic import commands as acoustic

_RECIPES = {"acoustic": acoustic}


def main() -> int:
    """Run the recipe that the command line names and return its exit status."""
    parser = argparse.ArgumentParser(prog="python -m recipes", description=__doc__)
    recipes = parser.add_subparsers(dest="recipe", required=True)
    for name, module in _RECIPES.items():
        module.add_arguments(recipes.add_parser(name, help=module.__doc__, description=module.__doc__))
    args = parser.parse_args()
    return _RECIPES[args.recipe].run(args)


if __name__ == "__main__":
    raise SystemExit(main())
