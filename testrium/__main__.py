"""`python -m testrium`."""

import sys

from testrium.cli.start import start

if __name__ == "__main__":  # a process that multiprocessing spawns reads this file, too
    sys.exit(start())
