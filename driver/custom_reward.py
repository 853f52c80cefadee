"""The user's own reward, read and checked before anything is started.

Owns the reading of the file that `reward.custom.path` names. Nothing of it is run here: that is rewards/custom.py, in
the scorers.
"""

import ast
from pathlib import Path

from contracts.errors import BadInput


def load_source(path: str, function: str) -> str:
    """The file's text.

    Raises:
        BadInput: it can't be read, is no Python, or defines no such function at its top level; with file and line.
    """
    try:
        source = Path(path).read_text(encoding="utf-8")
        module = ast.parse(source, filename=path)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"it is not UTF-8: {error}"
        raise BadInput(f"reward.custom.path = {path!r} can't be read: {reason}") from None
    except SyntaxError as error:
        raise BadInput(f"{path}:{error.lineno or 1}: {error.msg}; reward.custom.path must be a Python file") from None
    _check(_definition(module, path, function), path, function)
    return source


def _definition(module: ast.Module, path: str, function: str) -> ast.FunctionDef | ast.AsyncFunctionDef:
    """The last one counts, as it does when the file is run."""
    defined = [node for node in module.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = [node for node in defined if node.name == function]
    if not found:
        names = ", ".join(node.name for node in defined) or "none"
        raise BadInput(
            f"{path}:1: there is no function {function!r} at the top level (there are: {names}); define "
            f"`def {function}(request):` or set reward.custom.function"
        )
    return found[-1]


def _check(definition: ast.FunctionDef | ast.AsyncFunctionDef, path: str, function: str) -> None:
    """It must be callable with one argument."""
    taken = definition.args
    positional = [*taken.posonlyargs, *taken.args]
    num_required = len(positional) - len(taken.defaults)
    keyword_required = [
        name.arg for name, default in zip(taken.kwonlyargs, taken.kw_defaults, strict=True) if not default
    ]
    if num_required > 1 or keyword_required or not (positional or taken.vararg):
        raise BadInput(
            f"{path}:{definition.lineno}: {function} takes ({ast.unparse(taken)}); it is called with one argument, the "
            "group as a ScoreRequest (docs/custom_reward.md)"
        )
