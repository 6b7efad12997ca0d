"""The one seam to the operating system: processes, files, limits, how units are started."""

from typing import Final

#: Longest command line that is kept of a process, in characters.
COMMAND_LINE_LIMIT: Final = 300
