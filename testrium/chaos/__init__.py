"""Campaigns: drawing plans of faults, and finding the smallest one that breaks a circuit. Pure."""
