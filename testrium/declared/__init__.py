"""What users declare: units, circuits, checks, faults, metrics and groups.

Frozen types of the standard library: a phase makes its own types and never changes another's.
Durations carry their unit in the name (`_s`, `_ns`); `None` means "undefined" or "no
limit", never zero.
"""
