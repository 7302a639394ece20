"""print a script that completes commands, flags and their values in bash, zsh or fish

bash   geostyle completion bash > ~/.local/share/bash-completion/completions/geostyle
zsh    geostyle completion zsh > "${fpath[1]}/_geostyle"
fish   geostyle completion fish > ~/.config/fish/completions/geostyle.fish
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from geostyle.config import Parser

if TYPE_CHECKING:  # which imports every command
    from geostyle.cli._parsers import Flag

SHELLS = ("bash", "zsh", "fish")


def main(argv: Sequence[str]) -> int:
    """Print the script; 0 when done."""
    parser = Parser(
        prog="geostyle completion",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS, help="shell that reads the script")
    shell = parser.parse_args(argv).shell
    from geostyle.cli import verbs
    from geostyle.cli._parsers import flags, parsers

    known = {command: flags(parser) for command, parser in parsers().items()}
    write = {"bash": bash, "zsh": zsh, "fish": fish}[shell]
    print(write(verbs(), known))
    return 0


def bash(verbs: Mapping[str, str], known: Mapping[str, Sequence[Flag]]) -> str:
    """The script for bash."""
    return _function(
        verbs,
        known,
        head="""_geostyle() {
  local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD-1]}" found=""
  local command="${COMP_WORDS[1]}" place=$COMP_CWORD""",
        second="${COMP_WORDS[2]}",
        tail="""  if [[ -n $found ]]; then COMPREPLY=($(compgen -W "$found" -- "$cur")); fi
}
complete -o default -F _geostyle geostyle""",
    )


def zsh(verbs: Mapping[str, str], known: Mapping[str, Sequence[Flag]]) -> str:
    """The script for zsh."""
    return "#compdef geostyle\n" + _function(
        verbs,
        known,
        head="""_geostyle() {
  local cur="${words[CURRENT]}" prev="${words[CURRENT-1]}" command="${words[2]}" found=""
  local place=$((CURRENT - 1))""",
        second="${words[3]}",
        tail="""  if [[ -n $found ]]; then compadd -- ${=found}; else _files; fi
}
compdef _geostyle geostyle""",
    )


def _function(
    verbs: Mapping[str, str],
    known: Mapping[str, Sequence[Flag]],
    *,
    head: str,
    second: str,
    tail: str,
) -> str:
    """A completion function in the words that bash and zsh share."""
    nested = sorted({command.split()[0] for command in known if " " in command})
    lines = [head, f"  if (( place == 1 )); then found={_quoted([*verbs, '--help', '--version'])}"]
    lines.append('  elif [[ "$cur" == -* ]]; then')
    for verb in nested:
        lines.append(f'    [[ "$command" == {verb} && $place -gt 2 ]] && command="{verb} {second}"')
    lines.append('    case "$command" in')
    for command, flags in known.items():
        names = [name for flag in flags for name in flag.names if name.startswith("-")]
        lines.append(f"      {shlex.quote(command)}) found={_quoted(names)} ;;")
    lines += ["    esac", "  else", '    case "$command $prev" in']
    for command, flags in known.items():
        for flag in flags:
            after = [f"{command.split()[0]} {n}" for n in flag.names if n.startswith("-")]
            if not after and " " not in command:
                after = [f"{command} {command}"]  # a positional follows the verb itself
            if after and flag.choices:
                patterns = "|".join(map(shlex.quote, after))
                lines.append(f"      {patterns}) found={_quoted(flag.choices)} ;;")
    lines += ["    esac", "  fi", tail]
    return "\n".join(lines)


def fish(verbs: Mapping[str, str], known: Mapping[str, Sequence[Flag]]) -> str:
    """The script for fish."""
    lines = []
    for verb, text in verbs.items():
        lines.append(f"complete -c geostyle -n __fish_use_subcommand -xa {verb} -d {_single(text)}")
    for command, flags in known.items():
        verb, _, second = command.partition(" ")
        seen = f"__fish_seen_subcommand_from {verb}"
        if second:
            seen += f"; and __fish_seen_subcommand_from {second}"
        for flag in flags:
            line = f"complete -c geostyle -n {_single(seen)}"
            longs = [name[2:] for name in flag.names if name.startswith("--")]
            values = f" -xa {_single(' '.join(flag.choices))}" if flag.choices else ""
            if not longs and values:
                lines.append(line + values)
            for long in longs:
                more = values or (" -r" if flag.takes_value else "")
                lines.append(f"{line} -l {long}{more} -d {_single(flag.text)}")
    return "\n".join(lines)


def _quoted(words: Sequence[str]) -> str:
    return f'"{" ".join(words)}"'


def _single(text: str) -> str:
    return "'" + " ".join(text.split()).replace("\\", "\\\\").replace("'", "\\'") + "'"
