"""`streamspan run`: a script or module, instrumented, and otherwise as `python` would run it.

Knows what a program may rely on: `__main__`, `sys.argv`, `sys.path[0]`, exit status, its own traceback. Not by
`runpy.run_path`: that takes `__main__` away at the end of the script, while its threads and exit hooks still run.
"""

from __future__ import annotations

import builtins
import importlib.util
import io
import pkgutil
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec, PathFinder, SourcelessFileLoader
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from types import CodeType, ModuleType, TracebackType

import streamspan
from streamspan.cli._errors import CommandError


def run(arguments: list[str]) -> int:
    """Run the program that `arguments` name; leaves as the program leaves.

    Raises:
        CommandError: there is no such program.
    """
    if arguments[:1] == ["-m"]:
        if len(arguments) == 1:
            raise CommandError("-m needs the name of a module (see streamspan run --help)", 2)
        return _go(lambda: _run_module(arguments[1], arguments[2:]))
    if arguments[:1] == ["--"]:
        arguments = arguments[1:]
    if not arguments:
        raise CommandError("a script, or -m and a module, is needed (see streamspan run --help)", 2)
    if arguments[0].startswith("-"):
        raise CommandError(f"unknown option {arguments[0]} (see streamspan run --help)", 2)
    path = Path(arguments[0])
    if not path.exists():
        raise CommandError(f"there is no file {arguments[0]}", 2)
    return _go(lambda: _run_path(path, arguments))


def _go(program: Callable[[], None]) -> int:
    streamspan.instrument()
    try:
        program()
    except (SystemExit, CommandError):
        raise
    except BaseException as exc:
        # The hook that is in place when the program has failed, which may be the program's own, prints the traceback
        # without the frames of this command; everything else is left to the interpreter.
        hook, theirs = sys.excepthook, _without_ours(exc.__traceback__)

        def show(kind: type[BaseException], value: BaseException, _: TracebackType | None) -> None:
            hook(kind, value.with_traceback(theirs), theirs)

        sys.excepthook = show
        raise
    return 0


def _without_ours(traceback: TracebackType | None) -> TracebackType | None:
    """Cut off the frames above the program; all of them where it has none, as after a syntax error."""
    while traceback is not None and traceback.tb_frame.f_code.co_filename == __file__:
        traceback = traceback.tb_next
    return traceback


def _run_path(path: Path, arguments: list[str]) -> None:
    sys.argv = arguments
    file = str(path.absolute())  # as Python has it since 3.9; `sys.argv` keeps what was written
    if pkgutil.get_importer(file) is not None:  # a directory or an archive
        _put_on_path(file)
        _execute(*_found(PathFinder.find_spec("__main__", [file]), f"__main__ in {path}"))
        return
    _put_on_path(str(path.resolve().parent))
    try:
        with io.open_code(file) as opened:
            source = opened.read()
    except OSError as exc:
        raise CommandError(f"{path} cannot be read: {exc.strerror}", 2) from exc
    is_compiled = source.startswith(MAGIC_NUMBER)
    code = SourcelessFileLoader("__main__", file).get_code("__main__") if is_compiled else None
    _execute(code or compile(source, file, "exec", dont_inherit=True), _new_main(file, None))


def _run_module(name: str, arguments: list[str]) -> None:
    sys.argv = ["-m", *arguments]  # what `python -m` shows while the packages above the module are imported
    _put_on_path(str(Path.cwd()))
    code, main = _found(_spec_of(name), f"module {name}")
    sys.argv[0] = main.__file__ or name
    _execute(code, main)


def _found(spec: ModuleSpec | None, what: str) -> tuple[CodeType, ModuleType]:
    """Return the code of a module and the `__main__` that it runs in."""
    if spec is None:
        raise CommandError(f"there is no {what}", 2)
    # Not by type: the loader of archives is no InspectLoader (Python 3.11).
    get_code: Callable[[str], CodeType | None] | None = getattr(spec.loader, "get_code", None)
    code = None if get_code is None else get_code(spec.name)
    if code is None:
        raise CommandError(f"{what} has no code that could be run", 2)
    return code, _new_main(spec.origin, spec)


def _spec_of(name: str) -> ModuleSpec | None:
    try:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = importlib.util.find_spec(f"{name}.__main__")
            if spec is None:
                raise CommandError(f"{name} is a package without a __main__", 2)
    except ModuleNotFoundError as exc:
        if exc.name is None or not f"{name}.".startswith(f"{exc.name}."):
            raise  # a package above it exists, and fails to import something else
        return None
    except (ValueError, ImportError):  # `.name`, or an empty one
        return None
    return spec


def _put_on_path(first: str) -> None:
    """Replace what the interpreter put first on `sys.path` for this command by what it puts there for the program."""
    if not getattr(sys.flags, "safe_path", False):  # -P, -I or PYTHONSAFEPATH (Python 3.11): it puts nothing there
        sys.path[:1] = [first]


def _new_main(file: str | None, spec: ModuleSpec | None) -> ModuleType:
    main = ModuleType("__main__")
    main.__dict__.update(__builtins__=builtins, __spec__=spec, __cached__=None)
    if file is not None:
        main.__file__ = file
    if spec is not None:
        main.__loader__ = spec.loader
        main.__package__ = spec.parent
    sys.modules["__main__"] = main
    return main


def _execute(code: CodeType, main: ModuleType) -> None:
    exec(code, main.__dict__)  # noqa: S102 - running a program is what this is for
