"""``python -m ragdiag`` is the command ``ragdiag``."""

import sys

from ragdiag.cli import main

if __name__ == "__main__":
    sys.exit(main())
