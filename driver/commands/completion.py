"""`completion`: print the script with which bash or zsh completes commands, options, config keys and files.

    eval "$(pb-rlsvr completion bash)"          in ~/.bashrc; `zsh` in ~/.zshrc

The words are written into the script, so that a key press starts no Python.
"""

import argparse

from contracts.config.keys import keys
from driver.cli import COMMANDS, command_options

_BASH = """\
_pb_rlsvr() {
    local cur="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}" command="" options="" word
    if [[ "$cur" == *=* || "$before" == "=" ]]; then
        COMPREPLY=($(compgen -f -- "${cur##*=}"))
        return
    fi
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case " %(commands)s " in *" $word "*) command="$word"; break;; esac
    done
    case "$command" in
%(cases)s
        *) options="--help --version %(commands)s";;
    esac
    local keys="%(keys)s"
    [[ "$cur" == --* ]] && keys="--${keys// / --}"
    COMPREPLY=($(compgen -W "$options" -- "$cur") $(compgen -f -- "$cur") $(compgen -W "$keys" -S = -- "$cur"))
    [[ ${#COMPREPLY[@]} == 1 && "${COMPREPLY[0]}" == *= ]] && compopt -o nospace
}
complete -o filenames -F _pb_rlsvr pb-rlsvr
"""
_ZSH = """\
#compdef pb-rlsvr
_pb_rlsvr() {
    if [[ "$PREFIX" == *=* ]]; then
        compset -P '*='
        _files
        return
    fi
    local options="" command="${words[(r)(%(alternatives)s)]}"
    local keys="%(keys)s"
    case "$command" in
%(cases)s
        *) options="--help --version %(commands)s";;
    esac
    [[ "$PREFIX" == --* ]] && keys="--${keys// / --}"
    compadd -- ${=options}
    compadd -S = -- ${=keys}
    _files
}
compdef _pb_rlsvr pb-rlsvr
"""


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Print the script, and return what it completes."""
    print(script(arguments.shell))  # noqa: T201 - the shell reads it
    return {"shell": arguments.shell, "commands": list(COMMANDS)}


def script(shell: str) -> str:
    """Return the script of a shell: "bash" or "zsh"."""
    names = dict.fromkeys(key.name for key in keys())
    cases = "\n".join(
        f'        {command}) options="{" ".join(sorted(command_options(command)))}";;' for command in COMMANDS
    )
    words = {"commands": " ".join(COMMANDS), "alternatives": "|".join(COMMANDS), "keys": " ".join(names)}
    return (_BASH if shell == "bash" else _ZSH) % (words | {"cases": cases})
