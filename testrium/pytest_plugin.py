"""The pytest plugin: groups as items, and fixtures that run groups from tests.

pytest loads it in every project where Testrium is installed, so it imports nothing of Testrium
until a group is collected or a fixture is used. Without `--testrium` and `testrium_paths` it does
one thing: the files of groups are not collected as tests.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from testrium.api import HeldUnits, JudgedGroup, OpenRun, Run
    from testrium.declared.groups import Scenario

#: The file that represents a group: a node id has to name one.
GROUP_FILE = "config.toml"

#: In the environment of a unit: a suite of a group is collected as pytest does it.
IN_A_UNIT = "TESTRIUM_RUN_DIR"

_PLUGIN = "testrium-groups"
_NAME_OF_MARKER = re.compile(r"[^\s(:]+")


class GroupFailedError(Exception):
    """A group did not pass. Its text is the root cause, then what `testrium run` prints."""

    def __init__(self, group: JudgedGroup, cwd: Path) -> None:
        super().__init__(f"{group.message}\n\n{group.text(cwd)}")
        self.group = group


def pytest_addoption(parser: pytest.Parser) -> None:
    """pytest: the option and the setting."""
    parser.getgroup("testrium").addoption(
        "--testrium",
        action="store_true",
        help="Collect the groups of Testrium below the given paths, each as a test; without a path"
        " those below testrium_paths, else below the current folder.",
    )
    parser.addini(
        "testrium_paths",
        "Folders whose groups of Testrium are collected, with or without --testrium.",
        type="paths",
        default=[],
    )


def pytest_configure(config: pytest.Config) -> None:
    """pytest: decide which folders are groups."""
    if IN_A_UNIT in os.environ and not config.getoption("testrium"):
        return
    config.pluginmanager.register(_Groups(config), _PLUGIN)


class _Groups:
    """What the plugin does in one session of pytest."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.cwd = config.invocation_params.dir
        self.wanted: bool = config.getoption("testrium")
        self.paths: list[Path] = [
            Path(os.path.abspath(path))  # noqa: PTH100 - links stay what they are called
            for path in config.getini("testrium_paths")
        ]
        self.run: OpenRun | None = None
        self.notices: list[str] = []
        self.said: list[str] = []
        self.broken = False
        self._is_group: dict[Path, bool] = {}
        self._why_nothing = ""
        self._found: frozenset[Path] | None = None
        if not _has_paths(config) and (self.wanted or self.paths):
            config.args = [*self._other_args(), *map(str, self._group_files())]
        self._named = _named_paths(config)

    # Collection -------------------------------------------------------------------------------

    def _other_args(self) -> list[str]:
        """What pytest would collect by itself without a path on the command line."""
        if self.config.getini("testpaths") or not self.wanted:
            return list(self.config.args)
        return []  # the current folder was meant for groups

    def _group_files(self) -> list[Path]:
        folders = self.paths or [self.cwd]
        return [folder / GROUP_FILE for folder in sorted(self._groups_below(folders))]

    def _groups_below(self, folders: list[Path]) -> frozenset[Path]:
        """The folders of the groups there, as `testrium run` finds them."""
        from testrium.errors import TestriumError
        from testrium.load.discover import Search, find_groups
        from testrium.load.document import ProblemCollector
        from testrium.load.project import find_project

        collector = ProblemCollector()
        found: set[Path] = set()
        try:
            search = Search.of(self.cwd.resolve(), find_project(self.cwd), collector)
            for folder in folders:
                found.update(one.folder for one in find_groups([folder], search))
            collector.raise_if_any()
        except TestriumError as error:
            raise pytest.UsageError(f"testrium: {error}") from None
        if not found:
            self._why_nothing = search.why_nothing(folders)
        return frozenset(found)

    def is_group(self, folder: Path) -> bool:
        """Whether a folder holds a group, by its files alone."""
        known = self._is_group.get(folder)
        if known is None:
            known = (folder / GROUP_FILE).is_file() and (folder / "units").is_dir()
            self._is_group[folder] = known
        return known

    def _group_of(self, path: Path) -> Path | None:
        """The group whose file this is; of the group that is the root only what lies beside it."""
        root = self.config.rootpath
        for number, folder in enumerate(path.parents):
            if self.is_group(folder) and (folder != root or number == 0):
                return folder
            if folder == root:
                break
        return None

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """pytest: the code of a group is for its processes; tests in it were named or are left."""
        if collection_path.name == GROUP_FILE:
            return None
        if collection_path.is_dir():  # pytest would import its conftest.py
            return True if self._is_left_out(collection_path) else None
        group = self._group_of(collection_path)
        if group is None:
            return None
        named_inside = any(
            group in named.parents
            and (named == collection_path or named in collection_path.parents)
            for named in self._named
        )
        return None if named_inside else True

    def _is_left_out(self, folder: Path) -> bool:
        """Whether a folder is a group of which nothing is collected."""
        return (
            folder != self.config.rootpath
            and self.is_group(folder)
            and not self._is_asked_for(folder)
            and not any(folder in (path, *path.parents) for path in [*self.paths, *self._named])
        )

    def _is_asked_for(self, group: Path) -> bool:
        return self.wanted or any(path in (group, *group.parents) for path in self.paths)

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> _GroupFile | None:
        """pytest: collect a group by its config.toml."""
        if file_path.name != GROUP_FILE or not self.is_group(file_path.parent):
            return None
        if not self._is_asked_for(file_path.parent):
            return None
        try:
            found = self._found_groups()
        except pytest.UsageError as error:
            self._found = frozenset()  # it is said once
            mistaken: _GroupFile = _GroupFile.from_parent(parent, path=file_path)
            mistaken.mistake = str(error)
            return mistaken
        if file_path.parent.resolve() not in found:
            return None  # .testriumignore, or none of it
        return _GroupFile.from_parent(parent, path=file_path)

    def _found_groups(self) -> frozenset[Path]:
        if self._found is None:
            below = [path if path.is_dir() else path.parent for path in self._named or [self.cwd]]
            self._found = self._groups_below([*below, *self.paths])
        return self._found

    @pytest.hookimpl(tryfirst=True)  # before -k and -m leave some out
    def pytest_collection_modifyitems(self, session: pytest.Session) -> None:
        """pytest: say why no group is there, where groups were asked for."""
        asked = self.wanted or self.paths
        if asked and not hasattr(self.config, "workerinput") and not session.testsfailed:
            self._found_groups()
            if self._why_nothing:
                self.said.append(f"no group found: {self._why_nothing}")

    # The run ----------------------------------------------------------------------------------

    def open_run(self) -> OpenRun:
        """The run of this session, or of this worker; begun by its first group."""
        if self.run is None:
            from testrium.api import OpenRun, request

            command = ("pytest", *map(str, self.config.invocation_params.args))
            asked = request(cwd=self.cwd, observer=self._observer(), command_line=command)
            self.run = OpenRun(asked)
        return self.run

    def _observer(self) -> Any:
        from testrium.api import SilentObserver

        notices = self.notices

        class Notices(SilentObserver):
            """Keeps notices for the end of the session."""

            def notice(self, text: object) -> None:
                notices.append(str(text))

        return Notices()

    @pytest.hookimpl(trylast=True)  # after fixtures, which may keep units up
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """pytest: stop fixtures of the run, write its report."""
        worker = getattr(self.config, "workerinput", {}).get("workerid", "")
        said = self._closed() if self.run is not None else []
        self.said += [f"{worker}: {line}" if worker else line for line in said]
        if self.broken:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["testrium"] = self.said
            self.config.workeroutput["testrium_broken"] = self.broken

    def _closed(self) -> list[str]:
        """End the run of this session; what is to be said of it."""
        from testrium.errors import TestriumError

        assert self.run is not None
        try:
            run = self.run.close()
        except TestriumError as error:
            self.broken = True
            return [str(error), *dict.fromkeys(self.notices)]
        shared = {
            unit.name: None
            for group in run.groups
            for unit in group.result.scenario.units
            if unit.scope == "run"
        }
        said = [f"run {run.id}: testrium show {run.id}", *dict.fromkeys(self.notices)]
        if shared:
            worker = hasattr(self.config, "workerinput")
            once = "once per worker session" if worker else "once for the session"
            said.append(f"{', '.join(shared)}: started {once}")
        return said

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """pytest-xdist: a worker has ended, and tells what it has to say."""
        told = getattr(node, "workeroutput", {})
        self.said += told.get("testrium", [])
        self.broken = self.broken or told.get("testrium_broken", False)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """pytest: say which run it was."""
        if self.said:
            terminalreporter.section("testrium")
            for line in self.said:
                terminalreporter.line(line)

    @contextlib.contextmanager
    def alone(self, scenario: Scenario) -> Iterator[None]:
        """Beside workers: results of one group share its folder; an exclusive one is alone."""
        if not hasattr(self.config, "workerinput"):
            yield
            return
        import fcntl

        from testrium.load.project import state_folder

        group = scenario.group
        folder = state_folder(self.cwd) / "locks"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = hashlib.sha256(os.fsencode(group.folder)).hexdigest()[:16]
        with (folder / "all").open("wb") as everybody, (folder / name).open("wb") as own:
            fcntl.flock(everybody, fcntl.LOCK_EX if group.exclusive else fcntl.LOCK_SH)
            if not group.side_by_side:
                fcntl.flock(own, fcntl.LOCK_EX)
            yield

    def scenarios(
        self,
        path: str | Path,
        mode: str | None = None,
        params: Mapping[str, object] | None = None,
    ) -> tuple[Scenario, ...]:
        """What is to be run of the group at `path`, in one mode or with some parameters only.

        Raises TestriumError.
        """
        __tracebackhide__ = True
        from testrium.errors import TestriumError, UsageError
        from testrium.plan.selection import Selection
        from testrium.session import load, plan

        try:
            _, groups = load((str(path),), self.cwd)
            planned = plan(groups, Selection(all_modes=params is not None))
        except TestriumError as error:  # the text is enough: no traceback through what loads
            raise error.with_traceback(None) from None
        wanted = {name: str(value) for name, value in (params or {}).items()}
        chosen = tuple(
            one
            for one in planned
            if mode in (None, one.mode)
            and all(one.params.get(name) == value for name, value in wanted.items())
        )
        if not chosen:
            known = ", ".join(f"{one.id} {one.mode}" for one in planned)
            raise UsageError(f"{path}: nothing has mode {mode} and parameters {wanted}: {known}")
        return chosen


def _has_paths(config: pytest.Config) -> bool:
    """Whether the command line names what to collect. Workers of xdist ask their controller."""
    return config.args_source is pytest.Config.ArgsSource.ARGS or hasattr(config, "workerinput")


def _named_paths(config: pytest.Config) -> list[Path]:
    """The paths on the command line, without what follows `::`."""
    folder = config.invocation_params.dir
    named = [folder / arg.partition("[")[0].partition("::")[0] for arg in config.args]
    return [Path(os.path.abspath(path)) for path in named]  # noqa: PTH100 - as pytest has them


def _groups(config: pytest.Config) -> _Groups:
    groups = config.pluginmanager.get_plugin(_PLUGIN)
    if groups is None:  # in a unit of a run
        groups = _Groups(config)
        config.pluginmanager.register(groups, _PLUGIN)
    assert isinstance(groups, _Groups)
    return groups


class _GroupFile(pytest.File):
    """A group: an item for each of its modes, sets of parameters, and repeats."""

    #: Why no groups can be found.
    mistake = ""

    def collect(self) -> Iterator[_GroupItem]:
        """pytest: the items."""
        from testrium.errors import ConfigError, TestriumError
        from testrium.report.wording import label

        if self.mistake:
            raise self.CollectError(self.mistake)
        groups = _groups(self.config)
        try:
            planned = groups.scenarios(self.path.parent)
        except ConfigError as error:
            raise self.CollectError("\n".join(map(str, error.problems))) from None
        except TestriumError as error:
            raise self.CollectError(str(error)) from None
        for scenario in planned:
            if scenario.group.folder != self.path.parent.resolve():
                continue  # a group inside of this one has a file of its own
            above, _, _ = scenario.group.id.rpartition("/")
            name = label(scenario).removeprefix(f"{above}/")
            item: _GroupItem = _GroupItem.from_parent(self, name=name, scenario=scenario)
            yield item


class _GroupItem(pytest.Item):
    """One result to be."""

    def __init__(self, *, scenario: Scenario, **pytests: Any) -> None:
        super().__init__(**pytests)
        self.scenario = scenario
        self.judged: JudgedGroup | None = None
        self.extra_keyword_matches.update({scenario.id, scenario.group.title})
        taking_arguments, known = _markers(self.config)
        for tag in scenario.group.tags:
            # It would mean something else, or cannot be registered.
            if tag in taking_arguments or tag.startswith("_") or not _NAME_OF_MARKER.fullmatch(tag):
                self.extra_keyword_matches.add(tag)
                continue
            if tag not in known:
                self.config.addinivalue_line("markers", f"{tag}: a tag of groups of Testrium")
            self.add_marker(tag)
        if scenario.group.title:
            self.user_properties.append(("title", scenario.group.title))
        for requirement in scenario.group.requirements:
            self.user_properties.append(("requirement", requirement))

    def setup(self) -> None:
        """pytest: run the group. What is not the group's failure is an error of its setup."""
        if self.config.option.setuponly or self.config.option.setupplan:
            return
        groups = _groups(self.config)
        with groups.alone(self.scenario):
            judged = self.judged = groups.open_run().run(self.scenario)
        self.user_properties.append(("verdict", str(judged.verdict)))
        if judged.run_dir is not None:
            self.user_properties.append(("run_dir", str(judged.run_dir)))
        if judged.verdict == "skip":
            pytest.skip(judged.reason)
        if judged.verdict == "xfail":
            pytest.xfail(judged.reason)
        if judged.verdict in ("unknown", "error"):
            raise GroupFailedError(judged, groups.cwd)

    def runtest(self) -> None:
        """pytest: fail where the group has."""
        judged = self.judged
        if judged is not None and not judged.passed:
            raise GroupFailedError(judged, _groups(self.config).cwd)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """pytest: the evidence in place of a traceback."""
        from testrium.errors import TestriumError

        if not isinstance(excinfo.value, GroupFailedError | TestriumError):
            return super().repr_failure(excinfo, style)
        shown = excinfo.getrepr(style="value")
        if shown.reprcrash is not None:  # what the summary, --tb=line and JUnit have of it
            shown.reprcrash.path, shown.reprcrash.lineno = str(self.path), 1
            shown.reprcrash.message = str(excinfo.value).partition("\n")[0]
        return shown

    def reportinfo(self) -> tuple[Path, int, str]:
        """pytest: where it is declared."""
        return self.path, 0, self.scenario.id


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    """pytest: evidence in place of a traceback; a skipped group is so where it is declared."""
    report: pytest.TestReport = yield  # type: ignore[assignment, misc]
    if isinstance(item, _GroupItem):
        if report.skipped and isinstance(report.longrepr, tuple):
            report.longrepr = (str(item.path), 1, report.longrepr[2])
        elif report.failed and call.excinfo is not None:
            report.longrepr = item.repr_failure(call.excinfo)
    return report  # type: ignore[return-value]


def _markers(config: pytest.Config) -> tuple[set[str], set[str]]:
    """The markers that take arguments, as `skip(reason)`, and all that are registered."""
    taking, known = set(), set()
    for line in config.getini("markers"):
        if name := _NAME_OF_MARKER.match(line):
            known.add(name[0])
            if line[name.end() :].startswith("("):
                taking.add(name[0])
    return taking | {"parametrize", "tryfirst", "trylast"}, known


@pytest.fixture(scope="session")
def circuit(pytestconfig: pytest.Config) -> Callable[..., Run]:
    """Run a group from a test: `result = circuit("example_groups/hello", env={"SIZE": "3"})`.

    `path` is below pytest's root folder. `env` is added to `[env]` of the group; `mode` and
    `params` choose one of its modes and sets of parameters, else all that are planned are run.
    The result is a `testrium.api.Run`: `assert result.passed` shows the root cause.
    """
    groups = _groups(pytestconfig)

    def run_group(
        path: str | Path,
        *,
        env: Mapping[str, str] | None = None,
        mode: str | None = None,
        params: Mapping[str, object] | None = None,
    ) -> Run:
        __tracebackhide__ = True
        results = []
        for scenario in groups.scenarios(pytestconfig.rootpath / path, mode, params):
            with groups.alone(scenario):
                results.append(groups.open_run().run(_with_env(scenario, env)))
        return groups.open_run().so_far(results)

    return run_group


@pytest.fixture(scope="session")
def testrium_units(pytestconfig: pytest.Config) -> Callable[..., AbstractContextManager[HeldUnits]]:
    """Keep the services of a group up: `with testrium_units("shop") as shop: …`.

    In the block, `shop.url("api", "http")`, `shop.port("api", "http")` and
    `shop.wait_for("api:served", key=…)` are there; the group's own test functions are not run. At
    its end the group is judged: where it does not pass, GroupFailedError is raised with the
    evidence, or added as a note to what the block has raised itself.
    """
    groups = _groups(pytestconfig)

    @contextlib.contextmanager
    def keep_up(
        path: str | Path,
        *,
        env: Mapping[str, str] | None = None,
        mode: str | None = None,
        params: Mapping[str, object] | None = None,
    ) -> Iterator[HeldUnits]:
        __tracebackhide__ = True
        from testrium.errors import UsageError

        scenario, *others = groups.scenarios(pytestconfig.rootpath / path, mode, params)
        if more := [one.id for one in others if one.group.folder != scenario.group.folder]:
            raise UsageError(f"{path}: holds several groups: {', '.join([scenario.id, *more])}")
        if reason := scenario.skip or scenario.unmet:
            pytest.skip(f"{scenario.id}: {reason}")
        results: list[JudgedGroup] = []
        with groups.alone(scenario):
            keeping = groups.open_run().held(_with_env(scenario, env))
            try:
                with keeping as (units, results):
                    if units is not None:
                        yield units
                (judged,) = results
            except BaseException as error:
                if results and not results[0].passed:
                    error.add_note(results[0].text(groups.cwd))
                raise
        if not judged.passed:
            raise GroupFailedError(judged, groups.cwd)
        if units is None:
            pytest.fail(f"{scenario.id} has ended: it has no unit that stays up", pytrace=False)

    return keep_up


def _with_env(scenario: Scenario, env: Mapping[str, str] | None) -> Scenario:
    """The scenario whose processes have further variables."""
    if not env:
        return scenario

    more = {name: str(value).replace("$", "$$") for name, value in env.items()}
    return scenario._replace(group=replace(scenario.group, env={**scenario.group.env, **more}))
