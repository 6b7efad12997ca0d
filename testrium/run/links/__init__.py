"""Links: what stands between a unit's port and everybody else when a group breaks it on purpose."""
