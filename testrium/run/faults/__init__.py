"""Breaks things on purpose: units at their probes, traffic between them."""
