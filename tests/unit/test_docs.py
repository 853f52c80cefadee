"""README and docs say what the code does: keys, defaults, commands, examples, links, and a limit that is easily lost.

What is read here is the pages themselves: a page that falls behind the code fails.
"""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from contracts.config.keys import keys
from contracts.config.load import load_config
from contracts.config.run import Config
from driver.cli import COMMANDS, OF_A_FOLDER, parse
from languages.facts import LANGUAGES

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md", *(ROOT / "docs").glob("*.md")]
)
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """Fenced blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def merged(base: dict, above: dict) -> dict:
    """`above` over `base`, section by section."""
    return base | {
        key: merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in above.items()
    }


def run_words(text: str) -> list[list[str]]:
    """The arguments of every `driver/run.py` line in shell blocks, and of every `make run ARGS="..."`."""
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    direct = [
        shlex.split(line.split("driver/run.py", 1)[1], comments=True) for line in lines if "driver/run.py" in line
    ]
    passed = [shlex.split(arguments) for arguments in re.findall(r'make run ARGS="([^"]*)"', text)]
    return direct + passed


def test_the_configuration_page_has_every_key() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert {key.name for key in keys()} == set(re.findall(r"^\| `([a-z_.]+)` \|", page, flags=re.MULTILINE))


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
        if command not in OF_A_FOLDER:
            load_config(arguments.config, arguments.overrides)


def test_readme_lists_the_commands_that_there_are() -> None:
    section = README.split("## Commands", 1)[1].split("\n## ", 1)[0]
    assert sorted(re.findall(r"^\| `([a-z]+)` \|", section, flags=re.MULTILINE)) == sorted(COMMANDS)


def test_every_toml_example_of_readme_is_a_valid_change_of_the_quickstart() -> None:
    quickstart = tomllib.loads((ROOT / "configs" / "quickstart.toml").read_text(encoding="utf-8"))
    examples = blocks(README, "toml")
    assert len(examples) == 2
    for example in examples[1:]:  # the first is a whole config
        Config.model_validate(merged(quickstart, tomllib.loads(example)))


def test_the_config_of_your_own_in_readme_is_whole() -> None:
    config = Config.model_validate(tomllib.loads(blocks(README, "toml")[0]))
    assert config.data.source == "jsonl"


def test_readme_names_every_language_and_every_folder() -> None:
    assert f": {', '.join(sorted(LANGUAGES))}.\n" in README
    layout = README.split("## Layout", 1)[1].split("\n## ", 1)[0]
    folders = re.findall(r"^\| `([a-z]+)/` \|", layout, flags=re.MULTILINE)
    assert folders
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []
