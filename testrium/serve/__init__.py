"""The dashboard: a local web page over the history and the kept runs."""
