"""Run a command in a run folder of its own: config, console, Ray, actors, logs and summary.

with new_run(arguments, "evaluate", role="policy") as command:
    ...                                            checks that start nothing and write nothing
    with command.cluster() as layout:
        result = command.on_team(layout, work)     creates the run folder once the actors have a place
return command.finish({...})
"""

import argparse
import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from rich.console import Console as Terminal

from cluster.builds import installed_builds
from cluster.device import place
from cluster.launch import collect_logs, connected
from cluster.layout import Layout, Role
from cluster.preflight.nodes import check_placed
from cluster.reserve import placed
from cluster.team import Team
from contracts.config.device_defaults import with_device_defaults
from contracts.config.load import load_config
from contracts.config.run import Config
from driver.config_paths import loaded_models, with_absolute_paths
from driver.first_start import with_first_start
from driver.inputs import licence_notes
from driver.problems.prompts import Prompter
from driver.tracking.console import Console, quiet_logs
from driver.tracking.run_folder import RunFolder, check_new, create, run_name

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """Hold what one command works with; it starts actors of few roles."""

    config: Config  # with absolute paths
    path: Path  # of the run folder
    roles: tuple[Role, ...]
    terminal: Terminal  # for what is printed after the last phase
    console: Console
    started: float  # time.monotonic()

    @cached_property
    def folder(self) -> RunFolder:
        """Return the run folder; the first call creates it and sends the logs of this process into it."""
        folder = create(self.path, self.config)
        quiet_logs(folder.logs / "driver.log")
        return folder

    @contextmanager
    def cluster(self) -> Iterator[Layout]:
        """Connect to Ray, and give the layout of the roles' actors there.

        Raises:
            BadInput: Ray can't be reached, or the cluster or the installed packages can't run the roles.
        """
        with connected(self.config.cluster, self.console) as nodes:
            yield place(self.config, nodes, installed_builds(), roles=self.roles, console=self.console)

    def on_team(
        self, layout: Layout, work: Callable[[Team], Coroutine[None, None, Result]], *, config: Config | None = None
    ) -> Result:
        """Return the result of `work` on a team of its own, whose logs are collected whatever happens.

        Args:
            config: the config that the actors get, where it differs from the command's.

        Raises:
            BadInput: a node lacks something that its actors need.
            RunFailed: the actors could not be placed or loaded, or did not live to the end.
        """
        config = with_device_defaults(config or self.config, layout.device)
        with placed(layout, config.cluster, self.console.waiting) as bundles:
            check_placed(config, bundles, self.console)
            folder, team = self.folder, Team(config, bundles, self.console, folder=self.path)
            try:
                return asyncio.run(work(team))
            finally:
                collect_logs(team.processes, folder.logs)

    def finish(self, summary: dict[str, object]) -> dict[str, object]:
        """Write the summary with the run folder and the time that the command took, and return it."""
        whole = {"run_folder": str(self.path), "seconds": round(time.monotonic() - self.started, 1), **summary}
        self.folder.write_summary(whole)
        return whole


@contextmanager
def new_run(
    arguments: argparse.Namespace,
    command: str,
    *,
    role: Role,
    also: Callable[[Config], tuple[Role, ...]] = lambda config: (),
    change: Callable[[Config], Config] = lambda config: config,
    continues: str = "",
) -> Iterator[NewRun]:
    """Load the config, changed by `change`, and give the command its console. Nothing is started or written yet.

    Args:
        arguments: of the command line.
        command: the name of the command, with which the name of its folder begins.
        role: whose actors are started.
        also: further roles that the config asks for.
        change: changes the config as it was loaded.
        continues: name of the file or folder by which a folder is known that the command can go on with.

    Raises:
        BadInput: the config is wrong, or its run folder can't be created or holds a run already.
    """
    started = time.monotonic()
    loaded = load_config(arguments.config, arguments.overrides, needs=(role,))
    roles = (role, *also(loaded))
    if len(roles) > 1:
        loaded = load_config(arguments.config, arguments.overrides, needs=roles)
    config = change(with_absolute_paths(loaded, models=roles))
    config = with_first_start(config, loaded_models(config, roles))
    path = check_new(config, config.run.name or f"{command}-{run_name(config, arguments.config)}", continues=continues)
    terminal = Terminal(stderr=arguments.json)
    with Console(terminal) as console:
        yield NewRun(config=config, path=path, roles=roles, terminal=terminal, console=console, started=started)


def print_template_notes(console: Console, **prompters: Prompter) -> None:
    """Print which arguments a chat template does not read; the prompters are given by their section."""
    for section, prompter in prompters.items():
        if unknown := prompter.template.unknown_arguments:
            names = ", ".join(unknown)
            console.note(
                f"{section}.chat_template_arguments: the chat template of {section}.model does not read {names}, which "
                "changes nothing"
            )


def print_licence_notes(config: Config, console: Console) -> None:
    """Print what the licences of the reward's further models allow."""
    for note in licence_notes(config):
        console.note(note)
