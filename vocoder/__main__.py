"""`python -m vocoder COMMAND ...` is `vocoder COMMAND ...`."""

import sys

from vocoder.cli import main

if __name__ == "__main__":
    sys.exit(main())
