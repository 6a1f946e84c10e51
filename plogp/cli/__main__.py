"""``python -m plogp.cli``."""

import sys

from plogp.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
