"""Read and check the user's own reward before anything is started. Its code runs in the scorers only."""

import ast
from pathlib import Path

from contracts.errors import BadInput
from contracts.user_files import cause, read_user_text


def load_source(path: str, function: str) -> str:
    """Return the text of a Python file that defines a reward.

    Raises:
        BadInput: the file can't be read, is not Python, or has no such function at its top level; with file and line.
    """
    key = "reward.custom.path"
    source = read_user_text(Path(path), key=key)
    try:
        module = ast.parse(source, filename=path)
    except SyntaxError as error:
        raise BadInput(
            f"{path}:{error.lineno or 1}: {error.msg}; reward.custom.path must be a Python file", key=key
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:  # zero bytes; nesting beyond the parser's limit
        raise BadInput(f"{path} is not Python that can be parsed: {cause(error)}", key=key) from None
    _check(_definition(module, path, function), path, function)
    return source


def _definition(module: ast.Module, path: str, function: str) -> ast.FunctionDef | ast.AsyncFunctionDef:
    """Return the definition of the function; of several the last, which is the one that a run of the file leaves."""
    defined = [node for node in module.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = [node for node in defined if node.name == function]
    if not found:
        names = ", ".join(node.name for node in defined) or "none"
        raise BadInput(
            f"{path}:1: there is no function {function!r} at the top level (there are: {names}); define "
            f"`def {function}(request):` or set reward.custom.function",
            key="reward.custom.function",
        )
    return found[-1]


def _check(definition: ast.FunctionDef | ast.AsyncFunctionDef, path: str, function: str) -> None:
    """Check that the function can be called with one argument."""
    taken = definition.args
    positional = [*taken.posonlyargs, *taken.args]
    num_required = len(positional) - len(taken.defaults)
    keyword_required = [
        name.arg for name, default in zip(taken.kwonlyargs, taken.kw_defaults, strict=True) if not default
    ]
    if num_required > 1 or keyword_required or not (positional or taken.vararg):
        raise BadInput(
            f"{path}:{definition.lineno}: {function} takes ({ast.unparse(taken)}); it is called with one argument, the "
            "group as a ScoreRequest (docs/custom_reward.md)",
            key="reward.custom.function",
        )
