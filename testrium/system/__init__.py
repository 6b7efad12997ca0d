"""The one seam to the operating system: processes, files, limits, how units are started."""
