"""What all tests have in common."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is slow now and then; how long one example takes says nothing.
settings.register_profile("testrium", deadline=None)
settings.load_profile("testrium")
