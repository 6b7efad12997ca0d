"""What a probe tells of an exception."""

from __future__ import annotations

from traceback import format_exception

from testrium.probe.rules import MAX_STEP

#: Characters of an exception's message and traceback that are kept.
MAX_MESSAGE = 8 << 10
MAX_TRACEBACK = 64 << 10


def described(exc: BaseException) -> tuple[str, dict[str, str]]:
    """The step and the metadata of an exception, whatever its class does."""
    if not isinstance(exc, BaseException):
        raise TypeError(f"not an exception: {type(exc).__name__}")

    try:
        message = str(exc)
    except Exception as error:  # noqa: BLE001 - the user's __str__
        message = f"<its text raises {type(error).__name__}>"
    trace = "".join(format_exception(exc))
    name = "".join(char for char in type(exc).__name__ if char.isprintable())[:MAX_STEP]
    return _clean(name) or "Exception", {
        "message": _clean(message)[:MAX_MESSAGE],
        "traceback": _clean(trace)[-MAX_TRACEBACK:],
    }


def _clean(text: str) -> str:
    """The text with lone surrogates (undecodable file names) escaped."""
    return text.encode("utf-8", "backslashreplace").decode()
