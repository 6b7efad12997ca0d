"""From what a run has left to its verdicts, without holding up the runner's loop."""
