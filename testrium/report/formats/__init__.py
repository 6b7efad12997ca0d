"""Formats of a report. The command line imports each when it is asked for."""
