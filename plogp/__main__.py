"""``python -m plogp`` is the command line."""

import sys

from plogp.cli import main

if __name__ == "__main__":
    sys.exit(main())
