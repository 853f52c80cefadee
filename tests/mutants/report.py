"""Say what the last `make mutants` found: how many mutants of each module were killed, and which were not.

python -m tests.mutants.report [rewards.gates]         the counts, and the mutants that no test killed
python -m tests.mutants.report --sample 50 [...]       the names of 50 unchecked mutants of each module, at random
"""

import json
import random
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / "mutants"
KILLED = (1, 3)
"""Exit codes of mutmut's runs: a test failed, or pytest did."""
TIMED_OUT = (-24, 24, 36, 152, 255)


def modules(prefix: str) -> Iterator[tuple[str, dict[str, int | None]]]:
    """Yield each module below `prefix` that has mutants, with the exit code of each mutant; None: not checked yet."""
    for path in sorted(ROOT.rglob("*.py.meta")):
        module = ".".join(path.relative_to(ROOT).parts).removesuffix(".py.meta")
        codes = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
        if codes and module.startswith(prefix):
            yield module, codes


def main() -> None:
    """Print the counts and the survivors, or a sample of what is not checked yet."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("prefix", nargs="?", default="")
    parser.add_argument("--sample", type=int, default=0, metavar="N")
    arguments = parser.parse_args()
    lines: list[str] = []
    total = checked = killed = 0
    for module, codes in modules(arguments.prefix):
        unchecked = sorted(name for name, code in codes.items() if code is None)
        if arguments.sample:
            lines += random.Random(0).sample(unchecked, min(arguments.sample, len(unchecked)))
            continue
        dead = sum(code in KILLED or code in TIMED_OUT for code in codes.values())
        done = len(codes) - len(unchecked)
        total, checked, killed = total + len(codes), checked + done, killed + dead
        lines.append(f"{module}: {dead} of {done} checked were killed, of {len(codes)}")
        lines += [f"    {name}" for name, code in codes.items() if code == 0]
    if not arguments.sample:
        lines.append(f"{killed} of {checked} checked mutants were killed ({killed / max(1, checked):.1%}), of {total}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
