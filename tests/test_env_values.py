"""Values of variables, hidden in what is told and stored."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from testrium.variables import EnvValues, env_names

ENVIRON = {
    "TOKEN": "s3cr3t/token",
    "LONG": "s3cr3t/token-and-more",
    "PORT": "8080",
    "FLAG": "1",
    "EMPTY": "",
    "OTHER": "not declared",
}
DECLARED = {
    "unit": ("--token=${env.TOKEN}", ["${env.LONG}", {"p": "${env.PORT}${env.FLAG}"}]),
    "check": "${env.EMPTY} ${env.UNSET} $${mode}",
}


class Record(NamedTuple):
    name: str
    lines: tuple[str, ...]
    number: int = 1


def test_the_names_of_a_declaration() -> None:
    assert env_names(DECLARED) == {"TOKEN", "LONG", "PORT", "FLAG", "EMPTY", "UNSET"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("GET /s3cr3t/token: refused", "GET /${env.TOKEN}: refused"),
        ("xs3cr3t/tokeny", "x${env.TOKEN}y"),
        ("s3cr3t/token-and-more", "${env.LONG}"),
        ("port 8080 is taken", "port ${env.PORT} is taken"),
        ("after 180801 s", "after 180801 s"),
        ("exit code 1", "exit code 1"),
        ("not declared", "not declared"),
    ],
)
def test_a_value_becomes_its_variable(text: str, told: str) -> None:
    assert EnvValues(DECLARED, ENVIRON).hidden(text) == told


def test_each_line_of_a_key_is_hidden_by_itself() -> None:
    values = EnvValues.of({"KEY": "-- begin --\nq7Xk29Zr\nab\n"})
    assert values.hidden("it has q7Xk29Zr and ab") == "it has ${env.KEY} and ab"
    assert not EnvValues.of({"FLAG": "1", "EMPTY": "", "SPACE": "      "})


def test_all_texts_of_a_record() -> None:
    values = EnvValues(DECLARED, ENVIRON)
    record = Record("s3cr3t/token", ("a", "b 8080"), 8080)
    assert values.hidden_in(record) == Record("${env.TOKEN}", ("a", "b ${env.PORT}"), 8080)
    assert EnvValues((), ENVIRON).hidden_in(record) is record
