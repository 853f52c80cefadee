"""Shift every constant of some modules a little up and down, one at a time, and see whether a test fails.

    python -m tests.mutants.constants rewards/gates rewards/answers

mutmut changes the bodies of functions; this covers the numbers at the top of a module. An integer moves by 1, any other
number by 5%. The tests of a module are its mirrored test file, then the other tests of that folder.
"""

import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
SHIFTED = "SHIFTED_CONSTANT"
"""Environment variable of a test run: the module, the constant, its place in the statement and the value, by "|"."""

FAILED = (1, 2)
"""Exit codes of pytest: a test failed, or a test module could not be imported with the shifted constant."""
PASSED = (0, 5)
"""Exit codes of pytest: all tests passed, or there is none."""


def shifts(path: Path) -> Iterator[tuple[str, int, int | float]]:
    """Yield (constant, index of the number in its statement, shifted value) for every number at the top of a module."""
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            for index, number in enumerate(_numbers(statement.value)):
                value = ast.literal_eval(number)
                by = 1 if isinstance(value, int) else 0.05 * value
                yield from ((_name(statement), index, shifted) for shifted in (value - by, value + by))


def load_shifted(module: str, constant: str, index: int, value: float) -> None:
    """Import a module with one of its numbers changed."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value and _name(statement) == constant:
            _numbers(statement.value)[index].value = value
    loaded = ModuleType(module)
    loaded.__file__, loaded.__spec__ = spec.origin, spec
    # The real module with one number changed, registered as an import does it.
    sys.modules[module] = loaded
    exec(compile(tree, spec.origin, "exec"), loaded.__dict__)


def _numbers(value: ast.expr) -> list[ast.Constant]:
    numbers = [node for node in ast.walk(value) if isinstance(node, ast.Constant) and type(node.value) in (int, float)]
    return [] if isinstance(value, ast.Call) else numbers  # a call's numbers are flags and sizes


def _name(statement: ast.Assign | ast.AnnAssign) -> str:
    return ast.unparse(statement.targets[0] if isinstance(statement, ast.Assign) else statement.target)


def _is_noticed(path: Path, constant: str, index: int, value: float) -> bool:
    """Return whether a test fails with the shifted constant."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    folder = ROOT / "tests" / "unit" / path.relative_to(ROOT).parent
    mirrored = folder / f"test_{path.name}"
    environment = {**os.environ, SHIFTED: f"{module}|{constant}|{index}|{value!r}"}
    for tests in [[mirrored]] * mirrored.exists() + [[folder, f"--ignore={mirrored}"]]:
        command = [sys.executable, "-m", "pytest", "-xq", "-p", "tests.mutants.plugin", *map(str, tests)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode in FAILED:
            return True
        if done.returncode not in PASSED:  # a broken call must not count as a test that fails
            raise RuntimeError(f"pytest ended with {done.returncode} for {environment[SHIFTED]}:\n{done.stdout}")
    return False


def main(folders: list[str]) -> None:
    """Try every shift in the folders or files, and print those that no test notices."""
    named = [ROOT / name for name in folders]
    paths = [path for name in named for path in ([name] if name.is_file() else name.glob("*.py"))]
    tried = noticed = 0
    for path in sorted(paths):
        for constant, index, value in shifts(path):
            tried += 1
            if _is_noticed(path, constant, index, value):
                noticed += 1
            else:
                where = f"{path.relative_to(ROOT)}: {constant}, number {index + 1}"
                sys.stdout.write(f"{where}: no test fails with {value:g}\n")
                sys.stdout.flush()
    sys.stdout.write(f"{noticed} of {tried} shifts are noticed\n")


if __name__ == "__main__":
    main(sys.argv[1:])
