"""Test that README and docs agree with the code: keys, defaults, commands, examples, links, one easily lost limit.

What is read here is the pages themselves: a page that falls behind the code fails.
"""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from contracts.config.keys import keys, sections
from contracts.config.load import load_config
from contracts.config.run import Config
from driver.cli import COMMANDS, WITHOUT_CONFIG, parse
from driver.key_help import needs_of
from driver.problems.builtin.texts import TEXTS
from languages.facts import LANGUAGES

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md", *(ROOT / "docs").glob("*.md")]
)
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def merged(base: dict, above: dict) -> dict:
    """Return `above` laid over `base`, section by section."""
    return base | {
        key: merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in above.items()
    }


def run_words(text: str) -> list[list[str]]:
    """Return the arguments of every `driver/run.py` line in shell blocks, and of every `make run ARGS="..."`."""
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    direct = [
        shlex.split(line.split("driver/run.py", 1)[1], comments=True) for line in lines if "driver/run.py" in line
    ]
    passed = [shlex.split(arguments) for arguments in re.findall(r'make run ARGS="([^"]*)"', text)]
    return direct + passed


def test_the_configuration_page_has_every_key() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert {key.name for key in keys()} == set(re.findall(r"^\| `([a-z_.]+)` \|", page, flags=re.MULTILINE))


@pytest.mark.parametrize("name", ["troubleshooting", "choosing"])
def test_every_key_that_a_user_is_told_to_change_exists(name: str) -> None:
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    known = {*(key.name for key in keys()), *sections()}
    named = {
        word
        for word in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)(?: = [^`]*)?`", page)
        if word.partition(".")[0] in sections()
    }
    assert len(named) > 5
    assert named <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_inside_the_project_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    broken = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert broken == []


def test_every_make_target_that_is_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    named = {
        word for words in re.findall(r"(?:^ *|`)make ((?:[a-z-]+ ?)+)", text, re.MULTILINE) for word in words.split()
    }
    assert {"run", "test", "check", "install-gpu"} <= named
    assert named <= targets


def test_every_command_line_of_readme_is_accepted() -> None:
    found = run_words(README)
    assert len(found) >= 8
    for words in found:
        command, arguments = parse(words)
        if command not in WITHOUT_CONFIG:
            load_config(arguments.config, arguments.overrides, needs=needs_of(command))


def test_readme_lists_the_commands_that_there_are() -> None:
    section = README.split("## Commands", 1)[1].split("\n## ", 1)[0]
    assert sorted(re.findall(r"^\| `([a-z]+)` \|", section, flags=re.MULTILINE)) == sorted(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_toml_example_is_a_whole_config_or_a_change_of_the_quickstart(page: Path) -> None:
    quickstart = tomllib.loads((ROOT / "configs" / "quickstart.toml").read_text(encoding="utf-8"))
    for example in blocks(page.read_text(encoding="utf-8"), "toml"):
        values = tomllib.loads(example)
        if page.name == "languages.md" and "closing" in values:  # a language file: the languages' own tests load it
            continue
        values.pop("extends", None)
        Config.model_validate(values if values.keys() >= {"algorithm", "policy"} else merged(quickstart, values))


def test_the_config_of_your_own_in_readme_is_whole() -> None:
    config = Config.model_validate(tomllib.loads(blocks(README, "toml")[0]))
    assert config.data.source == "jsonl"


def test_readme_names_every_language_and_stays_short() -> None:
    assert f": {', '.join(sorted(TEXTS))}.\n" in README
    assert f": {', '.join(sorted(LANGUAGES.keys() - TEXTS.keys()))}.\n" in README
    assert len(README.splitlines()) <= 200


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_is_named_exists(page: Path) -> None:
    """A word in backticks that begins with a folder of the project is a path; <...> in it stands for any name."""
    folders = "|".join(
        sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "runs" and path.name[0] != ".")
    )
    named = re.findall(rf"`((?:{folders})/[\w./<>-]*)`", page.read_text(encoding="utf-8"))
    missing = [name for name in named if not list(ROOT.glob(re.sub(r"<\w+>", "*", name).rstrip("/")))]
    assert missing == []


def test_the_architecture_page_describes_every_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (\w+)/$", page, flags=re.MULTILINE)
    rooms = {
        f"{path.parent.name}/{path.name}"
        for heading in headings
        for path in (ROOT / heading).iterdir()
        if path.is_dir() and list(path.glob("*.py"))
    }
    sections = re.split(r"^### (\w+)/$", page, flags=re.MULTILINE)
    described = {
        f"{package}/{room}"
        for package, text in zip(sections[1::2], sections[2::2], strict=True)
        for room in re.findall(r"`(\w+)/`", text)
    }
    assert len(headings) == 6
    assert rooms - described == set()
