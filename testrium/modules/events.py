"""Old import path of `testrium.classic.events`."""

from testrium.classic.events import *  # noqa: F403 - the public names, which it lists
