"""Untrusted text, made safe for each medium: the one place where that is done.

Names, keys, metadata and log lines come from the code under test. What could move a cursor, hide
text or turn it around is shown as the escape a Python programmer would write (`\\x1b`, `\\u202e`),
so a reader sees that it was there. So is what a build server that reads the output, or a file
that was printed there, would take for a command: `::` at the start of a line (GitHub), `##[` and
`##vso[` anywhere (Azure Pipelines, GitHub), `##teamcity[`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import string
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

TAB_WIDTH = 8
#: Sources: the toolkits' `command.ts` and https://learn.microsoft.com/azure/devops/pipelines/scripts
#: /logging-commands; agents take spaces before `::`.
_AT_START = re.compile(r"^(?P<before>(?:\s|\x1b\[[\d;]*m)*)::", re.MULTILINE)
_ANYWHERE = r"##(?=[A-Za-z.]*\[)"
#: Also in full width, which some take for the same.
_FORMULA_STARTS = tuple("=+-@＝＋－＠")  # noqa: RUF001
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def visible(text: str) -> str:
    """The text on one line, with nothing in it that a terminal or a reader would not show.

    Escaped are control characters (line ends included), format characters such as bidirectional
    overrides and zero-width ones, lone surrogates, what Unicode has not assigned, and commands of
    build servers.
    """
    if not text.isprintable():
        text = "".join(char if _is_shown(char) else _escape(char) for char in text)
    return no_command(text)


def no_command(text: str) -> str:
    """The text, of any number of lines, in which no build server finds a command."""
    if "::" in text:
        text = _AT_START.sub(r"\g<before>\\x3a:", text)
    return re.sub(_ANYWHERE, r"#\\x23", text) if "##" in text else text


def json_text(
    data: object, *, indent: int | None = None, default: Callable[[Any], object] | None = None
) -> str:
    """JSON in ASCII, which reads back as the same and holds no command of a build server."""
    # Within a document `##` stands in texts only, and no line begins with `::`.
    return json.dumps(data, indent=indent, allow_nan=False, default=default).replace(
        "##", "#\\u0023"
    )


def log_line(text: str) -> str:
    """A line of a program's output: as `visible`, but tabs are spaces, as everyone expects."""
    return visible(text.rstrip("\r\n").expandtabs(TAB_WIDTH))


def encodable(text: str, encoding: str) -> str:
    """The text with escapes for what the stream's encoding cannot hold."""
    return text.encode(encoding, "backslashreplace").decode(encoding)


def xml_text(text: str) -> str:
    """Text that an XML 1.0 document may hold; the serializer escapes its markup.

    Line feeds and tabs stay, so a traceback can be read.
    """
    return no_command(
        "".join(char if char in "\n\t" or _is_shown(char) else _escape(char) for char in text)
    )


def tap_text(text: str) -> str:
    """Text of a TAP 14 test point, where `#` begins a directive."""
    return visible(text).replace("\\", "\\\\").replace("#", "\\#")


def workflow_text(text: str) -> str:
    """The message of a GitHub workflow command; its lines stay.

    Source: escapeData of https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts
    """
    lines = "\n".join(visible(line) for line in text.split("\n"))
    return lines.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def workflow_property(text: str) -> str:
    """A property of a GitHub workflow command (escapeProperty of the same file)."""
    return workflow_text(text).replace(":", "%3A").replace(",", "%2C")


def html_text(text: str) -> str:
    """Text between the tags of HTML."""
    return "".join(_ENTITIES.get(char, char) for char in visible(text))


def markdown_text(text: str) -> str:
    """Text that GitHub's Markdown shows as it is, in a table too: no markup, link or mention."""
    # Any ASCII punctuation may be escaped (https://spec.commonmark.org/0.31.2/#backslash-escapes),
    # but `&lt;` is understood by whatever reads HTML only.
    return "".join(
        _ENTITIES.get(char) or (f"\\{char}" if char in string.punctuation else char)
        for char in visible(text)
    )


def csv_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula; quoting is the CSV writer's matter."""
    shown = visible(text)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA_STARTS) else shown


def shell_word(path: Path | str) -> str:
    """A path as one word for the shell, which still names the file when pasted.

    What cannot be shown is written as bytes in `$'...'` (bash, zsh, ksh, POSIX 2024).
    """
    text = str(path)
    if text.startswith("-"):
        text = f"./{text}"
    if visible(text) == text:
        return shlex.quote(text)
    return "$'" + "".join(_shell_byte(byte) for byte in os.fsencode(text)) + "'"


def cells(text: str) -> int:
    """How many columns of a terminal the text takes once it was made visible."""
    text = visible(text)
    if text.isascii():
        return len(text)
    return sum(_char_cells(char) for char in text)


def cut(text: str, width: int, ellipsis: str = "…") -> str:
    """Make the text visible and cut it to `width` columns, with an ellipsis."""
    text = visible(text)
    if cells(text) <= width:
        return text
    room = width - cells(ellipsis)
    kept = []
    for char in text:
        room -= _char_cells(char)
        if room < 0:
            break
        kept.append(char)
    return "".join(kept) + ellipsis


def cut_names(names: Sequence[str], width: int, ellipsis: str = "…") -> list[str]:
    """Cut names to `width` columns and keep them distinct.

    One that is too wide loses its middle: names that lie in one folder differ at their ends. Where
    no place of the cut tells all of them apart, those that would look alike get a number.
    """
    shown = [visible(name) for name in names]
    room = max(1, width - cells(ellipsis))
    cuts: list[str] = []
    for behind in dict.fromkeys((room * 2 // 3, room, room // 2, room // 3, 0)):
        cuts = [_without_middle(name, width, room - behind, behind, ellipsis) for name in shown]
        if len(set(cuts)) == len(set(shown)):
            return cuts
    numbers: dict[str, dict[str, int]] = {}  # of the names behind each cut
    told = []
    for name, short in zip(shown, cuts, strict=True):
        alike = numbers.setdefault(short, {})
        number = alike.setdefault(name, len(alike) + 1)
        mark = f"#{number}"
        told.append(short if number == 1 else cut(short, max(1, width - len(mark)), "") + mark)
    return told


def _without_middle(text: str, width: int, before: int, behind: int, ellipsis: str) -> str:
    if cells(text) <= width:
        return text
    return cut(text, before, "") + ellipsis + cut(text[::-1], behind, "")[::-1]


def _is_shown(char: str) -> bool:
    # isprintable() is false for every space but " ", and a wide space is harmless.
    return char.isprintable() or unicodedata.category(char) == "Zs"


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def _char_cells(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def _shell_byte(byte: int) -> str:
    char = chr(byte)
    if char in "\\'":
        return f"\\{char}"
    return char if 0x20 <= byte < 0x7F else f"\\x{byte:02x}"
