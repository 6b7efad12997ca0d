"""Old import path of `testrium.classic.standalone`."""

from testrium.classic.standalone import SQLiteConnectionPool

__all__ = ["SQLiteConnectionPool"]
