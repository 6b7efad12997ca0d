"""`python -m testrium`."""

import sys

from testrium.cli.main import entry

sys.exit(entry())
