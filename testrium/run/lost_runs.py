"""Ends the processes that a lost run has left: its runner, supervisor and keepers were all killed.

A process belongs to a run if its environment names the run, or if its output goes to the run's
folder: a process that was forked and never called exec still shows the environment of its parent.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from testrium.probe import environment as names
from testrium.record.runs import lost_runs, mark_over
from testrium.system.temporary import remove_left


def end_lost_runs(state_folder: Path) -> tuple[str, ...]:
    """Kill what lost runs have left behind; each of them is looked at once.

    Returns:
        A sentence for each run that had left something.
    """
    notices = []
    for run in lost_runs(state_folder):
        killed = end_processes_of(run)
        remove_left(run.name)
        mark_over(run)
        if killed:
            count = "a process" if len(killed) == 1 else f"{len(killed)} processes"
            notices.append(f"run {run.name} was lost; ended {count} of it: {'; '.join(killed)}")
    return tuple(notices)


def end_processes_of(run_folder: Path) -> tuple[str, ...]:
    """SIGKILL all processes of a run but those above this one, until there are none.

    Returns:
        The command lines of those that have ended.
    """
    # psutil takes longer to import than a unit to start, and most runs have no lost one to end.
    from testrium.system import processes

    spared = processes.this_and_above()
    killed = []
    while found := [pid for pid in processes.pids() - spared if _belongs(pid, run_folder)]:
        for pid in found:
            command_line = processes.command_line(pid)
            if processes.kill_if(pid, partial(_belongs, pid, run_folder)):
                killed.append(command_line)
            else:
                spared.add(pid)
    return tuple(killed)


def _belongs(pid: int, run_folder: Path) -> bool:
    from testrium.system.processes import environment, outputs  # as above

    inside = f"{run_folder}/"
    env = environment(pid)
    if env.get(names.RUN) == run_folder.name and env.get(names.RUN_DIR, "").startswith(inside):
        return True
    return any(path.startswith(inside) for path in outputs(pid))
