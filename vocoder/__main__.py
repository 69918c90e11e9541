"""Run `vocoder COMMAND ...` as `python -m vocoder COMMAND ...`."""

import sys

from vocoder.cli import main

if __name__ == "__main__":
    sys.exit(main())
