"""`python -m lexicrop_training`: the command line."""

import sys

from lexicrop_training.cli import main

if __name__ == "__main__":
    sys.exit(main())
