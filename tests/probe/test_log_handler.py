"""Log records that become probes, from `logging`, structlog and loguru."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import loguru
import pytest
import structlog

import testrium

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """A logger with the handler."""
    logger = logging.getLogger("shop.orders")
    logger.setLevel("INFO")
    handler = testrium.logging_handler()
    logger.addHandler(handler)
    yield logger
    logger.removeHandler(handler)


def without_times(line: dict[str, Any]) -> dict[str, Any]:
    return {name: line[name] for name in line if name not in ("t_ns", "wall_ns", "pid", "seq")}


def test_a_record_that_says_so_is_a_probe(log: logging.Logger, lines: Lines) -> None:
    log.info("no probe")
    log.debug("below the level", extra={"testrium": {"step": "no"}})
    log.info("stored %s", "k1", extra={"testrium": {"step": "stored", "key": "k1", "rows": 3}})
    log.info("x", extra={"testrium": {"step": "s", "type": "Send", "key": "k2", "cause": ["k1"]}})
    log.info("y", extra={"testrium": {"step": "up", "unit": "other"}})
    assert list(map(without_times, lines())) == [
        {"step": "stored", "key": "k1", "meta": {"rows": 3}},
        {"step": "s", "type": "Send", "key": "k2", "cause": ["k1"]},
        {"step": "up", "unit": "other"},
    ]


@pytest.mark.parametrize("fields", ["stored", {"key": "k1"}, {"step": "s", "type": "Send"}])
def test_an_invalid_record_breaks_no_code_and_is_reported(
    fields: object, log: logging.Logger, lines: Lines, capsys: pytest.CaptureFixture[str]
) -> None:
    log.info("text", extra={"testrium": fields})
    assert "--- Logging error ---" in capsys.readouterr().err
    log.info("text", extra={"testrium": {"step": "after"}})
    assert [line["step"] for line in lines()] == ["after"]


@pytest.mark.usefixtures("no_run")
def test_outside_of_a_run_nothing_happens(log: logging.Logger) -> None:
    log.info("text", extra={"testrium": {"step": "s"}})


def test_structlog(log: logging.Logger, lines: Lines) -> None:
    """The recipe of docs/reference/probes.md."""
    structlog.configure(
        processors=[structlog.stdlib.render_to_log_kwargs],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    try:
        logger = structlog.get_logger(log.name)
        logger.info("stored", testrium={"step": "stored", "key": "k1"})
        logger.info("no probe", rows=3)
    finally:
        structlog.reset_defaults()
    assert list(map(without_times, lines())) == [{"step": "stored", "key": "k1"}]


def test_loguru(lines: Lines) -> None:
    """The recipe of docs/reference/probes.md."""
    number = loguru.logger.add(testrium.logging_handler(), format="{message}")
    try:
        loguru.logger.bind(testrium={"step": "stored", "key": "k1"}).info("stored")
        loguru.logger.info("no probe")
    finally:
        loguru.logger.remove(number)
    assert list(map(without_times, lines())) == [{"step": "stored", "key": "k1"}]
