"""Read the command line, run one command, and report how it failed.

Exit codes: 0 done, 1 failed while running or stopped, 2 bad input (a line for each mistake, never a traceback). A
command is imported when it is run, so that `-h` and a typing error answer at once.
"""

import argparse
import difflib
import errno
import importlib
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from cluster.environment import prepare_process
from contracts.errors import BadInput, RunFailed
from contracts.paths import PROGRAM, ROOT
from driver.command_words import overrides_from_options
from driver.key_help import explain, overview
from driver.version import version_lines

DEFAULT_CONFIG = ROOT / "configs" / "quickstart.toml"
DEFAULT_COMMAND = "train"
COMMANDS = {
    "train": "train a policy and evaluate it before and after (the default)",
    "evaluate": "measure models on tasks or on problems with known answers, language by language",
    "compare": "compare evaluated runs over the same items, with intervals of the differences",
    "audit": "measure the reward itself: faithful solutions against ways to cheat, language by language",
    "calibrate": "measure what faithful solutions earn in each language, so that the encoder favours no language",
    "references": "fill the reference cache before runs: asks the pivot for every item that is not in it",
    "translate": "write English questions for a set that has none, or questions in other languages from English ones",
    "report": "write report.html of a run folder again, also of a run that is still going",
    "watch": "serve a page that shows a run while it goes on: stages, actors, curves, responses; on this machine only",
    "dashboards": "write a Grafana dashboard, alert rules and a config of Prometheus into a folder",
    "verify": "prove from a run folder what became of every group, and that rewards and files are right",
    "plan": "print what a config would start: actors, devices, memory, batch sizes; --check asks the nodes as well",
    "init": "look at your data, models and machine, and write a commented config that runs",
    "doctor": "make every check of a config, draw a few samples, and print all mistakes and warnings at once",
    "completion": "print the script with which a shell completes commands, keys and files",
}
OF_A_FOLDER = ("report", "watch", "verify", "compare")
"""Commands whose arguments are run folders, not a config."""
WITH_WORDS = {"evaluate": "MODEL_OR_RUN", "translate": "FILE"}
"""Commands that take other words beside a config and overrides, and what these are."""
WITHOUT_CONFIG = (*OF_A_FOLDER, "dashboards", "init", "completion")
"""Commands that read no config."""


def main(argv: Sequence[str]) -> int:
    """Run one command and return the exit code."""
    try:
        with _sigterm_ends_the_command():
            command, arguments = parse(argv)
            prepare_process()
            summary = importlib.import_module(f"driver.commands.{command}").run(arguments)
    except (BadInput, RunFailed, OSError, KeyboardInterrupt, SystemExit) as error:
        if (code := _told(error)) is None:
            raise
        return code
    if arguments.json:
        print(json.dumps(summary, ensure_ascii=False))  # noqa: T201
    return 1 if summary.get("violations") else 0


def _told(error: BaseException) -> int | None:
    """Tell a person why a command ended, and return its exit code; None where the error is not to be handled here."""
    lines, code = [], 1
    match error:
        case BadInput():
            lines, code = [f"error: {mistake}" for mistake in error.all], 2
        case RunFailed():
            logging.getLogger(__name__).error("failed", exc_info=error)
            lines = [f"failed: {error}"]
        case BrokenPipeError():  # as `... -h | head` leaves it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        case OSError(errno=errno.ENOSPC | errno.EDQUOT | errno.EROFS):
            lines = [f"failed: {error}; free some disk space, and start it again"]
        case KeyboardInterrupt():
            lines = ["stopped by the keyboard"]
        case SystemExit(code=signal.SIGTERM):
            lines = ["stopped by SIGTERM; the same command starts again"]
        case _:
            return None
    for line in lines:
        print(line, file=sys.stderr)  # noqa: T201 - what a person reads last
    return code


@contextmanager
def _sigterm_ends_the_command() -> Iterator[None]:
    """Let SIGTERM raise SystemExit(SIGTERM) while the body runs; Ray's start keeps this (cluster/launch.py).

    A run that has started handles the signal itself (driver/run_state/stopping.py).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def parse(argv: Sequence[str]) -> tuple[str, argparse.Namespace]:
    """Return the command's name and its arguments; the command is `train` if none is named.

    Raises:
        BadInput: a word is neither a command, a config, an option nor an override.
        SystemExit: help or the version was asked for, and printed.
    """
    words = list(argv)
    first = next((word for word in words if not word.startswith("-")), "")
    command = first if first in COMMANDS else DEFAULT_COMMAND
    if first in COMMANDS:
        words.remove(first)
    if {"-h", "--help"} & set(words):
        _print_and_leave(_help(command if first in COMMANDS else "", words))
    if "--version" in words:
        _print_and_leave("\n".join(version_lines()))
    parser = _parser(command)
    if command in (*OF_A_FOLDER, "dashboards", "completion"):
        return command, parser.parse_intermixed_args(words)
    arguments = parser.parse_intermixed_args(overrides_from_options(words, options=command_options(command)))
    if command in WITHOUT_CONFIG:
        return command, arguments
    plain = [word for word in arguments.words if "=" not in word]
    configs = [word for word in plain if word.endswith(".toml")]
    arguments.models = [word for word in plain if word not in configs]
    if arguments.models and command not in WITH_WORDS:
        raise BadInput(_unknown_word(arguments.models[0]), key=arguments.models[0])
    if len(configs) > 1:
        raise BadInput(
            f'one config at a time, got {", ".join(configs)}; a config can extend another: extends = "base.toml"',
            key=configs[1],
        )
    arguments.has_config = bool(configs)
    arguments.config = _config_path(configs[0]) if configs else DEFAULT_CONFIG
    arguments.overrides = [word for word in arguments.words if "=" in word]
    return command, arguments


def command_options(command: str) -> frozenset[str]:
    """Return the options that a command has, such as "--json"."""
    return frozenset(name for action in _parser(command)._actions for name in action.option_strings)


def _help(command: str, words: Sequence[str]) -> str:
    """Return the help of a command, of all commands ("" as the command), or of the sections and keys that are named."""
    names = [word for word in words if not word.startswith("-") and not word.endswith(".toml") and "=" not in word]
    if names and command not in WITHOUT_CONFIG:
        return explain(command or DEFAULT_COMMAND, names)
    if not command:
        return _overview().format_help()
    keys = "" if command in WITHOUT_CONFIG else f"\n{overview(command)}"
    return f"{_parser(command).format_help()}{keys}"


def _print_and_leave(text: str) -> NoReturn:
    print(text)  # noqa: T201 - what was asked for
    raise SystemExit(0)


def _unknown_word(word: str) -> str:
    if word in COMMANDS:
        return f"the command comes first: {word} CONFIG.toml section.key=value"
    near = difflib.get_close_matches(word, COMMANDS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"commands are {', '.join(COMMANDS)}"
    return f"{word!r} is neither a command, a CONFIG.toml nor a section.key=value; {hint}"


def _config_path(word: str) -> Path:
    """Return the config's path, relative to the current folder, or to the project's root if it exists only there."""
    here = Path(word).expanduser()
    if here.exists() or here.is_absolute() or not (ROOT / here).exists():
        return Path(os.path.abspath(here))
    return ROOT / here


def _overview() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage="%(prog)s [COMMAND] [CONFIG.toml] [section.key=value ...]",
        description="Bring a model's reasoning in other languages up to its English: GRPO on semantic rewards.",
        epilog="commands:\n"
        + "\n".join(f"  {name:<12}{text}" for name, text in COMMANDS.items())
        + "\n\nWithout a config, configs/quickstart.toml. `COMMAND -h` lists its arguments and the keys\n"
        "that it reads, `-h SECTION` explains the keys of a section, --version says what is installed.\n"
        "Exit codes: 0 done, 1 failed while running, 2 bad input.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


class _Parser(argparse.ArgumentParser):
    """Report a mistake in one line, without the usage above it, like all other mistakes."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}; `{self.prog} -h` lists the arguments", key="arguments")


def _add_init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help="a file, a folder or the name of a dataset (docs/data.md)")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="values that the config gets")
    parser.add_argument("--policy", required=True, metavar="MODEL", help="the model to train: a folder or a hub name")
    parser.add_argument("--pivot", metavar="MODEL", help="answers the English questions (default: the policy)")
    parser.add_argument("--encoder", metavar="MODEL", help="compares reasonings (default: multilingual-e5-small)")
    parser.add_argument("--test", metavar="FILE", help="problems with answers, to evaluate on (default: built-in ones)")
    parser.add_argument("--languages", metavar="CODES", help="to train on, e.g. sw,th (default: all of the data's)")
    parser.add_argument("--gpus", type=_count, metavar="N", help="GPUs of the run (default: those of this machine)")
    parser.add_argument(
        "--gpu-memory-gib", type=float, default=79.6, metavar="GIB", help="memory of one GPU (default: %(default)s)"
    )
    parser.add_argument("--out", metavar="FILE", help="the config to write (default: DATA's name with .toml)")


def _add_dashboards(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="where to write, e.g. monitoring")
    parser.add_argument("--runs", default="runs", help="folder of the run folders (%(default)s)")
    help_ = "address at which Grafana finds Prometheus (%(default)s)"
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090", metavar="URL", help=help_)


def _add_folder(parser: argparse.ArgumentParser, command: str) -> None:
    parser.add_argument("folder", help="a run folder, e.g. runs/quickstart-20260101-120000")
    if command == "watch":
        help_ = "port of the page; 0: any free one (%(default)s)"
        parser.add_argument("--port", type=_count, default=8008, metavar="PORT", help=help_)
    if command == "verify":
        parser.add_argument("--shards", action="store_true", help="read every byte of checkpoints and export")


def _count(text: str) -> int:
    """Return a whole number of at least 0."""
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _parser(command: str) -> argparse.ArgumentParser:
    parser = _Parser(prog=f"{PROGRAM} {command}", description=COMMANDS[command])
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object, last on stdout")
    if command == "plan":
        parser.add_argument(
            "--check",
            action="store_true",
            help="connect to the cluster, or start Ray here, and check every node: drivers, packages, models, space",
        )
    if command == "doctor":
        help_ = "responses that are drawn and scored, where the models are on this machine (%(default)s)"
        parser.add_argument("--samples", type=_count, default=10, metavar="N", help=help_)
    if command == "compare":
        parser.add_argument("folders", nargs="+", metavar="RUN", help="a run folder, or one that `evaluate` wrote")
        parser.add_argument("--out", help="folder for the comparison (default: comparison/ in the first folder)")
    elif command == "init":
        _add_init(parser)
    elif command == "dashboards":
        _add_dashboards(parser)
    elif command == "completion":
        parser.add_argument("shell", choices=("bash", "zsh"), help="for which shell")
    elif command in OF_A_FOLDER:
        _add_folder(parser, command)
    else:
        others = f"{WITH_WORDS[command]} | " if command in WITH_WORDS else ""
        parser.add_argument(
            "words",
            nargs="*",
            metavar=f"{others}CONFIG.toml | section.key=value",
            help={"evaluate": "models, run folders, ", "translate": "a file of problems, "}.get(command, "")
            + "a config (default: configs/quickstart.toml) and overrides, e.g. algorithm.steps=3",
        )
    if command == "evaluate":
        parser.add_argument("--tasks", help="names of tasks, e.g. mgsm-rev2,xcopa (docs/evaluation.md)")
        parser.add_argument("--languages", help='codes of languages, e.g. en,sw, or "all"')
        parser.add_argument("--items", type=int, help="items of each language and level, the first ones")
        parser.add_argument(
            "--data",
            action="append",
            default=[],
            metavar="[TASK=]FOLDER",
            help="a folder with a folder for each task, or the folder of one task; may be repeated",
        )
    return parser
