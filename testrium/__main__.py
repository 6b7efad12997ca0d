"""`python -m testrium`."""

import sys

from testrium.cli.start import start

sys.exit(start())
