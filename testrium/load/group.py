"""One group from its `config.toml`: its tables, its units, and the Python files beside them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from testrium.checks.patterns import NotationError, compiled
from testrium.declared.checks import Check
from testrium.declared.faults import Fault
from testrium.declared.groups import (
    ALL_MODES,
    HOST_REQUIREMENT,
    Combination,
    Configs,
    Generate,
    Group,
    Monitored,
    UnitHost,
)
from testrium.declared.keys import field_named, keys_of
from testrium.declared.quantities import NAME, Variables
from testrium.errors import UsageError
from testrium.load.circuits import KnownPlaces, read_circuits, read_rules
from testrium.load.defaults import ADDED, FolderDefaults
from testrium.load.discover import CONFIG_FILE, Found
from testrium.load.document import Document, ProblemCollector, Spot, read_document, shown_path
from testrium.load.matrix import FROM, called_apart, read_matrix, unread_parameters
from testrium.load.project import Project
from testrium.load.python_code import PythonCode
from testrium.load.test_functions import test_modules
from testrium.load.texts import (
    Filling,
    Scope,
    check_exit_codes,
    check_text,
    check_unit_texts,
    enabled_ports,
    is_later,
    is_later_in_unit,
)
from testrium.load.units import (
    UnitFile,
    check_entrypoints,
    check_hosts,
    check_setup,
    check_suite_paths,
    check_units,
    check_units_alone,
    make_units,
    plug_in,
    read_unit_files,
    suite_settings,
    unlisted_units,
)
from testrium.load.validate import Table, read, read_list, read_value
from testrium.phrases import did_you_mean, nearest_word
from testrium.probe.environment import MINIMAL
from testrium.tuples import NamedTuple
from testrium.variables import as_text, escape
from testrium.words import EMPTY, RESERVED_UNITS

if TYPE_CHECKING:
    from testrium.declared.taps import Tap
    from testrium.load.fixtures import GroupFixture

#: The tables of config.toml besides [Configs].
TABLES: Final = tuple(key for _, key in keys_of(Group) if field_named(Configs, key) is None)

MAIN_TABLE = "Configs"

#: Of a unit whose file cannot be read.
NO_STEPS: frozenset[str] = frozenset()


class LoadingInputs(NamedTuple):
    """What loading looks at besides a group's folder.

    `environment` holds the names of the runner's variables.
    """

    cwd: Path
    project: Project
    defaults: FolderDefaults
    environment: frozenset[str]

    @classmethod
    def of(cls, cwd: Path, project: Project) -> LoadingInputs:
        return cls(cwd, project, FolderDefaults(project, cwd), frozenset(os.environ))


def load_group(found: Found, around: LoadingInputs, collector: ProblemCollector) -> Group | None:
    """The group in a folder. What is wrong is noted; then the result is of no use.

    Args:
        found: the folder and the group's id.
        around: what else counts.
        collector: those of this group alone; its notices become the group's.

    Returns:
        None where config.toml cannot be read at all.
    """
    path = found.folder / CONFIG_FILE
    document = read_document(path, shown_path(path, around.cwd), collector)
    if document is None:
        defaults = around.defaults.of(found, collector)
        check_units_alone(found.folder, defaults.unit, around.cwd, collector)
        return None
    combinations = _combinations(document, found, around, collector)
    first, *others = combinations or (Combination(EMPTY),)
    group, used = _load_with(document, first, combinations, found, around, collector)
    same_names = all(each.values.keys() == first.values.keys() for each in others)
    if same_names and not any(name.startswith("param.") for name in used):
        return group
    # What is filled in before a table is validated makes a group of its own of each combination.
    variants = {first.suffix: group}
    for each in others:
        if collector.problems:  # those of the next one would mostly be the same
            break
        loaded = _load_with(document, each, combinations, found, around, collector)
        variants[each.suffix] = loaded[0]
    return replace(group, variants=variants)


def _combinations(
    document: Document, found: Found, around: LoadingInputs, collector: ProblemCollector
) -> tuple[Combination, ...]:
    table = document.data.get("matrix")
    if table is None:
        return ()
    spot = Spot(document, ("matrix",), collector)
    project = around.project

    def call(reference: str) -> Any:
        code = PythonCode(found.folder, around.cwd, collector, project.pythonpath)
        if why := code.entrypoint_error(reference, may_yield=True):
            raise ValueError(why)
        return called_apart(reference, found.folder, project.pythonpath, project.env)

    before = len(collector.problems)
    combinations = read_matrix(table, spot, call)
    if isinstance(table, dict) and FROM in table and len(collector.problems) > before:
        return ()  # which parameters there are is not known
    return _wanted(found, combinations) if found.only else combinations


def _load_with(
    document: Document,
    combination: Combination,
    combinations: tuple[Combination, ...],
    found: Found,
    around: LoadingInputs,
    collector: ProblemCollector,
) -> tuple[Group, set[str]]:
    """The group as one combination makes it, and which values were needed to validate it."""
    project = around.project
    values = {f"property.{name}": value for name, value in project.properties.items()}
    values |= {f"param.{name}": value for name, value in combination.values.items()}
    if not combinations:  # what is wrong with them is reported
        unread = unread_parameters(document.data.get("matrix"))
        values |= {f"param.{name}": "" for name in unread}
    unset = {f"property.{name}": how for name, how in project.unset_properties.items()}

    def loaded(
        as_written: frozenset[tuple[str, int | None]],
    ) -> tuple[Group, Filling, ProblemCollector]:
        noted = ProblemCollector()
        filling = Filling(values, as_written, unset)
        loading = _Loading(document, found, around, noted, filling)
        return loading.group(combinations), filling, noted

    group, filling, noted = loaded(frozenset())
    wrong = {(problem.file, problem.line) for problem in noted.problems}
    if numbers := filling.whole & wrong:  # a text where a number is asked for
        again = loaded(frozenset(numbers))
        if len(again[2].problems) < len(noted.problems):
            group, filling, noted = again
    if noted.problems:
        every = {name for one in combinations for name in one.values}
        noted.reword(
            {
                f"unknown variable ${{param.{name}}}": f"${{param.{name}}} has no value in"
                f" {combination.suffix}"
                for name in every - combination.values.keys()
            }
        )
    collector.add(noted)
    return group, filling.used


class _Loading:
    """One group while it is read: what every table of it may refer to."""

    def __init__(
        self,
        document: Document,
        found: Found,
        around: LoadingInputs,
        collector: ProblemCollector,
        filling: Filling,
    ) -> None:
        document = filling.filled(document, is_later, collector)
        self.filling = filling
        self.found = found
        self.around = around
        self.collector = collector
        self.is_readable = _check_tables(document, Spot(document, (), collector))
        if not self.is_readable:  # nothing that follows from it is reported
            document = Document(document.name, document.text, {}, document.main)
        self.data = document.data
        self.whole = Spot(document, (), collector)
        self.defaults = around.defaults.of(found, collector)
        self.configs = self._configs(document)
        names = self.configs["unit_names"]
        self.files = read_unit_files(
            found.folder,
            self.configs,
            self.defaults.unit,
            around.cwd,
            lambda file: filling.filled(file, is_later_in_unit, collector),
        )
        self.code = PythonCode(found.folder, around.cwd, collector, around.project.pythonpath)
        # A file that is not listed is one mistake: what names its unit is none.
        names = (*names, *unlisted_units(found.folder, names))
        check_units(self.files, names)
        self.hosts = self._hosts()
        folders = tuple(around.defaults.folders(found))
        fixtures: tuple[GroupFixture, ...] = ()
        if self.configs["fixtures"]:
            # Few groups have fixtures and the tables below: each of their modules is 2 ms.
            from testrium.load.fixtures import FixtureInputs, read_fixtures

            env = self._project_env(_inherited(self.configs, around))
            shared = FixtureInputs(around.cwd, around.project, filling.of_properties(), env)
            fixtures = read_fixtures(self.configs, folders, shared)
        self.fixtures = tuple(fixture.unit for fixture in fixtures)
        self.actors = (*self.files, *(fixture.file for fixture in fixtures))
        self.places = KnownPlaces(
            dict.fromkeys(names, NO_STEPS) | {file.name: _steps(file) for file in self.actors},
            frozenset(fixture.name for fixture in self.fixtures if fixture.scope == "run"),
            found.folder,
        )

    def group(self, combinations: tuple[Combination, ...]) -> Group:
        """All that the files say."""
        folder, configs, files = self.found.folder, self.configs, self.files
        given = configs.spots.keys() | self.defaults.configs.keys()
        params = frozenset(self.filling.values)
        env = self._env(params)
        tables = self._tables(env, params)
        tests = test_modules(folder, self.code, files, self.around.cwd, self.collector)
        given_none = configs.gives("unit_names") and not configs["unit_names"]
        if given_none and not tests:
            configs.at("unit_names").wrong(
                "must not be empty, as the group has no test functions:"
                " testrium gen unit NAME adds a unit"
            )
        check_entrypoints(files, self.code, env, configs["requires"])
        check_suite_paths(files, folder)
        filled = combinations or (Combination(EMPTY),)
        check_exit_codes(self.actors, self.filling.values, filled)
        has_setup = self._has_main("setup")
        check_setup(files, has_setup=has_setup)
        has_teardown = self._has_main("teardown")
        fields: dict[str, Any] = {
            field.name: getattr(configs.value, field.name) for field in dataclass_fields(Configs)
        }
        fields["test_modes"] = _modes_to_run(configs, given)
        for name in ADDED:
            fields[name] = self._added(name)
        fields["units"] = plug_in(make_units(files), files, self.around.project.plugins)
        fields |= suite_settings(fields, given=given)
        return Group(
            id=self.found.id,
            folder=folder,
            env=env,
            hosts=self.hosts,
            fixture_units=self.fixtures,
            matrix=combinations,
            shared_env=self.shared_env,
            properties={
                name.removeprefix("property."): as_text(value)
                for name, value in self.filling.values.items()
                if name.startswith("property.")
            },
            has_setup=has_setup,
            has_teardown=has_teardown,
            test_modules=tests,
            notices=self.collector.notices,
            **tables,
            **fields,
        )

    def _tables(self, env: Mapping[str, str], params: frozenset[str]) -> dict[str, Any]:
        """What the tables of config.toml besides [Configs] say."""
        data, whole, files = self.data, self.whole, self.files
        taps: tuple[Tap, ...] = ()
        if "taps" in data:
            from testrium.load.taps import read_taps, with_taps

            own = self.around.project.plugins
            taps = read_taps(whole.at("taps"), self.places, self.actors, own)
            self.places = with_taps(self.places, taps)
        circuits = read_circuits(whole.at("circuits"), self.places)
        rules = read_rules(whole.at("verify"), self.places, has_circuits=bool(circuits))
        tables: dict[str, Any] = {"circuits": circuits, "taps": taps, "rules": rules}
        if "faults" in data:
            from testrium.load.faults import read_faults

            spot = whole.at("faults")
            tables["faults"] = read_faults(spot, self.places, self.actors)
            _check_faults_of_hosts(tables["faults"], spot, files)
        if "metrics" in data:
            from testrium.load.checks import read_metrics

            enabled = [file.name for file in files if file["enabled"]]
            tables["metrics"] = read_metrics(whole.at("metrics"), circuits, enabled)
        if "histories" in data:
            from testrium.load.checks import read_histories

            spot = whole.at("histories")
            tables["histories"] = read_histories(spot, self.places, self.code)
        if "otlp" in data:
            from testrium.load.telemetry import read_telemetry

            tables["otlp"] = read_telemetry(whole.at("otlp"), self.places)
        if "chaos" in data:
            from testrium.load.faults import read_chaos

            tables["chaos"] = read_chaos(whole.at("chaos"), files)
        if "explore" in data:
            from testrium.load.faults import read_explore

            tables["explore"] = read_explore(whole.at("explore"), self.places, files)
        if "generate" in data:
            tables["generate"] = self._generate(whole.at("generate"))
        if "monitor" in data:
            taken = [*self.configs["unit_names"], *(each.name for each in self.fixtures)]
            tables["monitors"] = read_monitors(whole.at("monitor"), taken)
        if "checks" in data:
            tables["checks"] = self._checks(env, params)
        return tables

    def _generate(self, spot: Spot) -> Generate:
        reading = read(Generate, spot.raw, spot)
        reset = reading.value.reset
        if reset is not None and (error := self.code.entrypoint_error(reset)):
            reading.at("reset").wrong(error)
        return reading.value

    def _checks(self, env: Mapping[str, str], params: frozenset[str]) -> tuple[Check, ...]:
        from testrium.load.checks import read_checks

        return read_checks(
            self.whole.at("checks"),
            self.actors,
            _inherited(self.configs, self.around) | env.keys(),
            params,
            self.around.project.plugins,
            self.fixtures,
            self.code,
        )

    def _configs(self, document: Document) -> Table[Configs]:
        table = self.data.get(MAIN_TABLE)
        spot = self.whole.at(MAIN_TABLE)
        if not isinstance(table, dict):
            if self.is_readable:
                self.collector.problem(
                    document.name, None, "", f"the table [{MAIN_TABLE}] is missing"
                )
            return Table(Configs(), spot, {})
        document.main = (MAIN_TABLE,)
        configs = read(Configs, table, spot, self.defaults.configs)
        if configs["use_ai"] and not self.around.project.ai_command:
            configs.at("use_ai").wrong("needs a command in [ai] of the project file")
        _check_requirements(configs, self.around.project)
        return configs

    def _hosts(self) -> dict[str, UnitHost]:
        """The hosts that units name: the group's own, else those of the project file."""
        spot = self.whole.at("hosts")
        tables = self.data.get("hosts", {})
        if not isinstance(tables, dict):
            spot.wrong("must hold a table for each host: [hosts.NAME]")
            tables = {}
        known = dict(self.around.project.hosts)
        for name, table in tables.items():
            if not NAME.fullmatch(name):
                spot.at(name).wrong(f"{name!r} is not a name of a host: use letters, digits, _ - .")
            host = read(UnitHost, table, spot.at(name)).value
            known[name] = replace(host, place=spot.at(name).place, folder=self.found.folder)
        used = check_hosts(self.files, known)
        for index, name in enumerate(self.configs["requires"]):
            host = name.removeprefix(HOST_REQUIREMENT)
            if host != name and host not in used:
                guess = did_you_mean(host, used)
                self.configs.item("requires", index).wrong(
                    f"{name!r}: no unit runs on host {host!r}{guess}"
                )
        return {name: known[name] for name in used}

    def _unaddressed(self) -> dict[str, str]:
        """The units whose host has no address, with that host.

        A unit with a link is reached over it.
        """
        hosts = {file.name: file["host"] for file in self.files}
        tables = [self.data.get(name) for name in ("taps", "faults")]
        links = {
            str(table.get("link", "")).rpartition(".")[0]
            for each in tables
            for table in (each if isinstance(each, list) else ())
            if isinstance(table, dict)
        }
        return {
            unit: host
            for unit, host in hosts.items()
            if host in self.hosts and self.hosts[host].address is None and unit not in links
        }

    def _added(self, name: str) -> tuple[str, ...]:
        """A list of the group, behind those of the folders above."""
        above = [each for spot in self.defaults.added.get(name, ()) for each in spot.raw or ()]
        own = self.configs[name] if name in self.configs.spots else ()
        return tuple(dict.fromkeys((*above, *own)))

    def _env(self, params: frozenset[str]) -> dict[str, str]:
        """`[env]`, and a check of all texts in which it may be named."""
        inherited = _inherited(self.configs, self.around)
        spot = self.whole.at("env")
        own: dict[str, str] = read_value(Variables, self.data.get("env", {}), spot) or {}
        if not own and isinstance(spot.raw, dict):
            own = dict.fromkeys(spot.raw, "")  # given, though one of them cannot be read
        scope = Scope(
            enabled_ports(self.files),
            inherited,
            params,
            fixtures=self.fixtures,
            unaddressed=self._unaddressed(),
        )
        for name, text in own.items():
            check_text(text, spot.at(name), scope)
        self.shared_env = self._shared_env(scope)
        env = {**self._project_env(inherited), **own}
        variables = inherited | env.keys()
        check_unit_texts(self.files, variables, params, self.fixtures, self._unaddressed())
        return env

    def _shared_env(self, scope: Scope) -> dict[str, str]:
        """The `env` of the defaults for units, but for texts that need a unit."""
        spot = self.defaults.unit.get("env")
        if spot is None:
            return {}
        texts: dict[str, str] = read_value(Variables, spot.raw, spot) or {}
        return {
            name: text
            for name, text in texts.items()
            if check_text(text, Spot(spot.document, spot.path, ProblemCollector()), scope)
        }

    def _project_env(self, inherited: Collection[str]) -> dict[str, str]:
        """What the project file says for every process: `[env]`, and `pythonpath`."""
        project = self.around.project
        env = dict(project.env)
        if project.pythonpath:
            folders = [escape(str(folder)) for folder in project.pythonpath]
            if "PYTHONPATH" in inherited:
                folders.append("${env.PYTHONPATH}")
            env.setdefault("PYTHONPATH", os.pathsep.join(folders))
        return env

    def _has_main(self, module: str) -> bool:
        """Whether setup.py or teardown.py is there; one without main() is a mistake."""
        file = self.found.folder / f"{module}.py"
        if not file.is_file():
            return False
        names = self.code.module(module)
        shown = shown_path(file, self.around.cwd)
        if names is not None and not names.may_have("main"):
            self.collector.problem(shown, None, "", "has no function main()")
        elif names is not None and (why := names.why_never_runs("main")):
            function = names.functions.get("main")
            line = None if function is None else function.lineno
            self.collector.problem(shown, line, "main", why)
        return True


def _wanted(found: Found, combinations: Sequence[Combination]) -> tuple[Combination, ...]:
    """The combinations that the command line names, to be run whether primary or not."""
    by_suffix = {each.suffix: each for each in combinations}
    for suffix in found.only:
        if suffix not in by_suffix:
            guess = did_you_mean(suffix, by_suffix)
            raise UsageError(f"{found.id}{suffix}: no combination of the group's matrix{guess}")
    return tuple(each._replace(primary=True) for each in combinations if each.suffix in found.only)


def _check_tables(document: Document, whole: Spot) -> bool:
    """Whether the tables can be read: `[config]` for `[Configs]` is one mistake, not many."""
    known = (MAIN_TABLE, *TABLES)
    wrong = [name for name in document.data if name not in known]
    for name in wrong:
        if MAIN_TABLE not in document.data and nearest_word(name, [MAIN_TABLE]):
            whole.at(name).wrong(f"unknown table; did you mean [{MAIN_TABLE}]?")
            return False
    for name in wrong:
        whole.at(name).wrong(f"unknown table{did_you_mean(name, known)}")
    return True


def _check_requirements(configs: Table[Configs], project: Project) -> None:
    """Each id must be one of the project's, where it lists them."""
    known = project.requirements
    if known is None:
        return
    for index, name in enumerate(configs["requirements"]):
        if name not in known:
            configs.item("requirements", index).wrong(
                f"{name!r} is not a requirement of the project{did_you_mean(name, known)}"
            )


def _modes_to_run(configs: Table[Configs], given: Collection[str]) -> tuple[str, ...]:
    """The test-modes, each of which the group must support."""
    supported: tuple[str, ...] = configs["debug_modes"]
    wanted: tuple[str, ...] = configs["test_modes"]
    if "test_modes" not in given:
        return ("DEBUG",) if "DEBUG" in supported else supported[:1]
    if wanted == ALL_MODES:
        return supported
    if missing := [mode for mode in wanted if mode not in supported]:
        configs.at("test_modes").wrong(f"{', '.join(missing)}: not one of debug-modes")
    return wanted


def _steps(file: UnitFile) -> frozenset[str]:
    """All steps that a unit's file mentions."""
    steps = (
        *file["events"],
        *file["stop_events"],
        file["ready_event"],
        *(probe.step for probe in file["probes"]),
    )
    return frozenset(step for step in steps if step)


def _check_faults_of_hosts(faults: Iterable[Fault], spot: Spot, files: Iterable[UnitFile]) -> None:
    hosts = {file.name: file["host"] for file in files if file["host"] and file["enabled"]}
    for index, fault in enumerate(faults):
        if fault.do == "clock" and fault.unit in hosts:
            spot.at(index).wrong(
                f"do = 'clock' does not work for {fault.unit}, which runs on host"
                f" {hosts[fault.unit]!r}: name a unit of this machine"
            )


def read_monitors(spot: Spot, units: Collection[str]) -> tuple[Monitored, ...]:
    """The tables `[[monitor]]`, no name of which is one of `units`; what is wrong is noted."""
    monitors: dict[str, Monitored] = {}
    for reading in read_list(Monitored, spot, "monitor"):
        monitor = reading.value
        if monitor.name in units or monitor.name in RESERVED_UNITS:
            reading.at("name").wrong(f"{monitor.name!r} is the name of a unit")
        elif monitor.name in monitors:
            reading.at("name").wrong(f"{monitor.name!r} is the name of another monitor")
        if not reading.spots.keys() & {"pid", "process"}:
            reading.spot.wrong("needs pid or process")
        if monitor.process is not None:
            try:
                compiled(monitor.process, monitor.process)
            except NotationError as error:
                reading.at("process").wrong(str(error))
        monitors[monitor.name] = monitor
    return tuple(monitors.values())


def _inherited(configs: Table[Configs], around: LoadingInputs) -> frozenset[str]:
    """The runner's variables that units get."""
    if configs["inherit_env"]:
        return around.environment
    return around.environment.intersection(MINIMAL)
