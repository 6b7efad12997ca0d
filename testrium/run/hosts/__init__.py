"""Units on other hosts: an agent there, at the end of any command that gives a pipe."""
