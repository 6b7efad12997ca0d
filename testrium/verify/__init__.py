"""Verification: a pure function of what was declared and what happened."""

from testrium.verify.expectations import Expectations
from testrium.verify.judgement import judge

__all__ = ["Expectations", "judge"]
