"""The command line: ``geostyle <verb>``, one file of this folder per verb.

A verb is a module with ``main(argv) -> int``; the first line of its docstring is its line in the
help. It is found by its file name (``my_verb.py`` is ``geostyle my-verb``) and imported only when
it is called.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from geostyle.errors import GeostyleError, InputError, out_of_memory

EXIT_DIFFERENT = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130


def verbs() -> dict[str, str]:
    """Return every verb with its one-line description, without importing any."""
    found = {}
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found[path.stem.replace("_", "-")] = docstring.partition("\n")[0]
    return found


def run(verb: str, argv: Sequence[str]) -> int:
    """Run one verb and return its exit status (see `guarded`)."""
    return guarded(f"geostyle {verb}", lambda words: _module(verb).main(words), argv)


def _module(verb: str) -> Any:
    return import_module(f"geostyle.cli.{verb.replace('-', '_')}")


def guarded(
    prog: str, main: Callable[[list[str]], int], argv: Sequence[str], hint: str = ""
) -> int:
    """Run a command's `main` and turn errors a user can fix into one line on stderr.

    Args:
        prog: name of the command, which begins the line.
        hint: what to do after Ctrl-C, if anything.

    Returns: the exit status: that of `main`, 2 after an error, 130 after Ctrl-C.
    """
    from geostyle.cli._streams import no_accessories, signals_as_ctrl_c, steady_streams

    # Names of files that are not UTF-8 are shown as well as they can be.
    with contextlib.suppress(AttributeError, ValueError):
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    with steady_streams(), signals_as_ctrl_c(), no_accessories():
        return _guarded(prog, main, argv, hint)


def _guarded(prog: str, main: Callable[[list[str]], int], argv: Sequence[str], hint: str) -> int:
    try:
        return main(list(argv))
    except GeostyleError as error:
        print(f"{prog}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return EXIT_ERROR
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        print(f"{prog}: error: not enough memory; try a smaller --size", file=sys.stderr)
        return EXIT_ERROR
    except OSError as error:  # of a disk or a network: nothing that a traceback explains
        print(f"{prog}: error: {' '.join(str(error).split())}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print(f"{prog}: interrupted{hint and '; '}{hint}", file=sys.stderr)
        return EXIT_INTERRUPTED


def main(argv: Sequence[str] | None = None) -> int:
    """Dispatch ``geostyle <verb> ...``; without a verb, list them."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv and argv[0] in verbs():
        return run(argv[0], argv[1:])
    return guarded("geostyle", _without_verb, argv)


def _without_verb(argv: list[str]) -> int:
    """Print the verbs or the version, or refuse an unknown verb."""
    known = verbs()
    if not argv or argv[0] in ("-h", "--help", "help"):
        width = max(map(len, known))
        print("usage: geostyle <verb> [options]\n\nverbs:")
        for name, line in known.items():
            print(f"  {name:<{width}}  {line}")
        print("\ngeostyle <verb> --help explains one.")
        return 0
    if argv[0] == "--version":
        from geostyle import __version__

        print(__version__)
        return 0
    near = difflib.get_close_matches(argv[0], known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; expected one of {', '.join(known)}"
    raise InputError(f"unknown verb {argv[0]!r}{hint}")
