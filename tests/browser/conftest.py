"""A headless Chromium, driven by its DevTools protocol: https://chromedevtools.github.io/."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

if TYPE_CHECKING:
    from tests.conftest import Workplace

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser")
#: Seconds for anything at all: far more than it takes, so that only a real fault reaches it.
LIMIT_S = 60.0

_OPTIONS = (
    "--headless",
    "--remote-debugging-port=0",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--hide-scrollbars",
    "--mute-audio",
    # A name that an attacker has made to resolve to this machine.
    "--host-resolver-rules=MAP evil.test 127.0.0.1",
)


class Tab:
    """A page that is open. `collector` are errors of its console, exceptions and refusals."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self.collector: list[str] = []
        self._browser = browser
        self._session = session
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> Any:
        return self._browser.send(method, self._session, **parameters)

    def open(self, url: str) -> int:
        """Open a page, wait until it is loaded, and return its status (0: it has none)."""
        self._browser.seen.clear()
        answer = self.send("Page.navigate", url=url)
        assert "errorText" not in answer, answer
        self._browser.wait_event("Page.loadEventFired", self._session)
        status = 0
        for event in self._browser.seen:
            if event["method"] == "Network.responseReceived" and (
                event["params"]["type"] == "Document"
            ):
                status = event["params"]["response"]["status"]
        return status

    def status_of(self, url: str) -> int:
        """The status that a request of the page got, whatever the page was told of it."""
        while True:
            seen = self._browser.seen
            requests = [
                event["params"]["requestId"]
                for event in seen
                if event["method"] == "Network.requestWillBeSent"
                and event["params"]["request"]["url"] == url
            ]
            for event in seen:
                answered = event["method"] == "Network.responseReceivedExtraInfo"
                if answered and event["params"]["requestId"] in requests:
                    return int(event["params"]["statusCode"])
            self._browser.receive()

    def tell(self, script: str) -> Any:
        """What an expression of JavaScript comes to."""
        answer = self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until an expression is true."""
        found = self.tell(
            f"new Promise((done) => {{ const began = Date.now(); const look = () =>"
            f" ({condition}) ? done(true) : Date.now() - began > {LIMIT_S * 500} ? done(false)"
            f" : setTimeout(look, 10); look(); }})"
        )
        assert found, f"never true: {condition}"

    def screenshot(self, path: Path, width: int = 1400, height: int = 1000) -> None:
        """For people: what the page looks like."""
        self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        answer = self.send("Page.captureScreenshot")
        path.write_bytes(base64.b64decode(answer["data"]))


class Chromium:
    """A browser that runs."""

    def __init__(self, connection: ClientConnection) -> None:
        self.seen: list[dict[str, Any]] = []
        self._connection = connection
        self._numbers = itertools.count(1)
        self._tabs: dict[str, Tab] = {}

    @contextmanager
    def tab(self) -> Iterator[Tab]:
        """A new tab in a profile of its own, without cookies."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)
        attached = self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        session = attached["sessionId"]
        self._tabs[session] = Tab(self, session)
        yield self._tabs[session]
        self.send("Target.disposeBrowserContext", browserContextId=context)

    def send(self, method: str, session: str | None = None, **parameters: Any) -> Any:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        self._connection.send(json.dumps(message))
        while True:
            answer = self.receive()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def wait_event(self, method: str, session: str) -> None:
        while not any(
            event["method"] == method and event.get("sessionId") == session for event in self.seen
        ):
            self.receive()

    def receive(self) -> dict[str, Any]:
        message = json.loads(self._connection.recv(timeout=LIMIT_S))
        assert isinstance(message, dict)
        if "method" in message:
            self.seen.append(message)
            complaint = _complaint(message)
            tab = self._tabs.get(message.get("sessionId", ""))
            if complaint and tab is not None:
                tab.collector.append(complaint)
        return message


def _complaint(message: dict[str, Any]) -> str:
    parameters = message["params"]
    match message["method"]:
        case "Runtime.exceptionThrown":
            return str(parameters["exceptionDetails"])
        case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning", "assert"):
            return str(parameters["args"])
        case "Log.entryAdded" if parameters["entry"]["level"] in ("error", "warning"):
            return str(parameters["entry"])
    return ""


@contextmanager
def running(profile: Path) -> Iterator[Chromium]:
    """Start a browser, and end it with all that it started."""
    assert PROGRAM is not None
    # Its sandbox needs a user of its own, or rights that a container does not give.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [PROGRAM, *_OPTIONS, *sandbox, f"--user-data-dir={profile}", "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(log := (profile.parent / "chromium.log").open("w")),
        process_group=0,
    )
    try:
        with connect(
            _address(profile / "DevToolsActivePort", process),
            max_size=None,
            proxy=None,
            compression=None,
        ) as connection:
            browser = Chromium(connection)
            yield browser
            with suppress(ConnectionClosed):
                browser.send("Browser.close")
    finally:
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
        log.close()


def _address(file: Path, process: subprocess.Popen[bytes]) -> str:
    """The browser writes its port and path into a file once it listens."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the browser has ended: see chromium.log"
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.02)  # nothing wakes us when another program writes a file
    raise AssertionError("the browser does not listen")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """One browser for all tests; each opens a tab of its own."""
    if PROGRAM is None:
        pytest.skip("there is no chromium")
    with running(tmp_path_factory.mktemp("chromium") / "profile") as started:
        yield started


@pytest.fixture
def tab(browser: Chromium) -> Iterator[Tab]:
    with browser.tab() as opened:
        yield opened


@pytest.fixture(scope="module")
def module_workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A folder whose runs several tests look at."""
    from tests.conftest import Workplace

    folder = tmp_path_factory.mktemp("workplace")
    return Workplace(folder, f"{os.getpid()}-{folder.name}")
