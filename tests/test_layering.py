"""The rules of docs/architecture.md that a reader of one module cannot see, checked over the syntax trees of src/."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"
PACKAGE = "streamspan"

# Room to its modules and to the rooms that it may import from; always from itself. A package stands for its modules.
FOUNDATIONS = {"_version", "_guard", "_records", "_options", "_config", "_semconv"}
CORE = {
    "_arrivals", "_endings", "_answer", "_timeline", "_session", "_decoders", "_codings", "_json_array", "_content",
    "_event_stream", "_redaction", "_failures", "_identity", "_runs",
}  # fmt: skip
PROVIDERS = {"providers"}
FEEDING = {
    "_lifecycle", "_patching", "_cancellation", "_ownership", "_taps", "_wire", "_bodies", "_observers", "_sessions",
    "_terms", "_turns", "_partings", "_letters", "_connection", "_sockets", "_byte_feed", "_raw",
}  # fmt: skip
INTEGRATIONS = {"integrations"}
TELLING = {
    "_summary", "_attributes", "_events", "_routes", "_metrics", "_console", "_description", "_double_span", "_recorder",
    "_connection_span",
}  # fmt: skip
SENDING = {"_otlp"}
ROOT_OF_ALL = {"_registry", "_others", "_arguments", "_api"}
FACES = {"_observe", "instrumentor", ""}
PLAYING = {"demo"}
TOOLS = {"cli", "testing", "__main__"}

MAY_IMPORT = [
    (FOUNDATIONS, set[str]()),
    (CORE, FOUNDATIONS),
    (PROVIDERS, {"_records", "_config"}),
    (FEEDING, FOUNDATIONS | CORE | PROVIDERS),
    (INTEGRATIONS, FOUNDATIONS | CORE | PROVIDERS | FEEDING),
    (TELLING, FOUNDATIONS | CORE),
    (SENDING, FOUNDATIONS),
    (ROOT_OF_ALL, FOUNDATIONS | CORE | PROVIDERS | FEEDING | INTEGRATIONS | TELLING | SENDING),
    (FACES, FOUNDATIONS | CORE | PROVIDERS | FEEDING | ROOT_OF_ALL),
    (PLAYING, set[str]()),
    (
        TOOLS,
        FOUNDATIONS | CORE | PROVIDERS | FEEDING | INTEGRATIONS | TELLING | SENDING | ROOT_OF_ALL | FACES | PLAYING,
    ),
]

SIGNALS = ("opentelemetry.trace", "opentelemetry.metrics", "opentelemetry._logs")
# An SDK that uses OpenTelemetry itself is spoken to in its own terms: a span that only stands for ours.
SPEAK_TO_SDKS = {"integrations.anthropic_tracing"}
OWNERS_OF_SIGNALS = {
    "_recorder",
    "_connection_span",
    "_description",
    "_metrics",
    "_otlp",
    "_arguments",
    "_api",
    "testing",
}

# What the OTLP exporters send with, and depend on themselves.
TRANSPORTS = ("requests", "grpc")

# Names at module level that change while the program runs, each with the reason why it is not in `_api._state`.
MUTABLE_STATE = {
    "_api._state": "the one global state",
    "_registry._installed": "a cache of what is installed, one version per library",
    "_events._kinds": "a cache of at most 64 words",
    "_identity._current": "a ContextVar: the state is the context's",
    "_runs._current": "a ContextVar: the state is the context's",
    "_ownership._current": "a ContextVar: the state is the context's",
    "_otlp.delivery._current": "a ContextVar: the state is the context's",
    "_cancellation._timed_out": "facts about tasks of asyncio, which has no other place for them; gone with the task",
    "_bodies._tap_class": "a cache: the same answer for the same classes",
    "_bodies._tap_for": "a cache: the same answer for the same class",
    "_decoders._marker_line": "a cache of compiled patterns, one for each marker",
    "_ownership._undecided": "a ContextVar: the state is the context's",
    "integrations._aiohttp_body._tapped": "a cache: the same answer for the same class",
    "integrations._urllib3._tapped": "a cache: the same answer for the same class",
    "_sessions._pattern": "a cache of compiled patterns",
    "_sessions.host_name": "a cache: the same answer for the same host",
    "integrations._calls.target_of": "a cache: the same answer for the same URL",
    "providers._gemini_requests._camel_case": "a cache of spellings, one for each name that is asked for",
    "_sessions.find_endpoint": "a cache: the same answer for the same path",
    "_sessions.model_in": "a cache: the same answer for the same path",
    "integrations.google_requests._asking": "a ContextVar: the state is the context's",
    "integrations.websockets._is_claimed": "a ContextVar: the state is the context's",
    "integrations.huggingface_hub._asking": "a ContextVar: the state is the context's",
    "_version.version": "a cache of what is installed",
}
STATEFUL = {
    "ContextVar", "Counter", "Event", "Guard", "Lock", "Queue", "RLock", "SimpleQueue", "WeakKeyDictionary", "WeakSet",
    "WeakValueDictionary", "bytearray", "count", "cycle", "defaultdict", "deque", "dict", "iter", "list", "local", "set",
}  # fmt: skip
MUTATORS = {
    "add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem", "remove", "setdefault",
    "update",
}  # fmt: skip

MOST_LINES = 300
MOST_FUNCTION_LINES = 40


def _name(path: Path) -> str:
    parts = path.relative_to(SOURCE / PACKAGE).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {_name(path): path for path in sorted((SOURCE / PACKAGE).rglob("*.py"))}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(MODULES[module].read_text(encoding="utf-8"))


@cache
def imported(module: str) -> frozenset[str]:
    """Return the dotted names that a module imports, wherever it does."""
    names: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import in line {node.lineno}"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def own_imports(module: str) -> set[str]:
    """Return the modules of the package that a module imports; '' is the package's face."""
    inside = {name.removeprefix(PACKAGE).removeprefix(".") for name in imported(module) if _is_of(name, PACKAGE)}
    return {name if name in MODULES else name.rpartition(".")[0] for name in inside}


def room_of(module: str) -> str:
    return module.partition(".")[0]


def _is_of(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def modules_in(room: str) -> list[str]:
    """Return the modules of a room."""
    return [module for module in MODULES if room_of(module) == room]


def modules_but(*owners: str) -> list[str]:
    """Return the modules outside of some rooms."""
    return [module for module in MODULES if room_of(module) not in owners]


def offenders(modules: Iterable[str], found: Callable[[str], Collection[object]]) -> dict[str, Collection[object]]:
    """Return what is found in modules where nothing should be."""
    return {module or PACKAGE: wrong for module in modules if (wrong := found(module))}


def imports_of(*packages: str) -> Callable[[str], Collection[object]]:
    """Return a finder of imports from the packages named."""
    return lambda module: {name for name in imported(module) if any(_is_of(name, package) for package in packages)}


def imports_beyond(*packages: str) -> Callable[[str], Collection[object]]:
    """Return a finder of imports from elsewhere than the standard library, this package and the packages named."""
    allowed = {*sys.stdlib_module_names, PACKAGE, *packages}
    return lambda module: {name for name in imported(module) if name.partition(".")[0] not in allowed}


# --- direction -------------------------------------------------------------------------------------------------------


def test_every_module_is_in_one_room() -> None:
    """Each module of the package belongs to exactly one room of the table above."""
    rooms = [name for names, _ in MAY_IMPORT for name in names]
    assert len(rooms) == len(set(rooms))
    assert {room_of(module) for module in MODULES} <= set(rooms)


def test_imports_keep_their_direction() -> None:
    """A module imports from its own room and from the rooms that its room may know, late imports included."""

    def wrong(module: str) -> Collection[object]:
        allowed = next(names | below for names, below in MAY_IMPORT if room_of(module) in names)
        return {name for name in own_imports(module) if room_of(name) not in allowed}

    assert offenders(MODULES, wrong) == {}


def test_imports_make_no_circle() -> None:
    """The import graph has an order: no module needs itself, not even through a late import."""
    open_: list[str] = []
    done: set[str] = set()

    def visit(module: str) -> None:
        assert module not in open_, " -> ".join([*open_[open_.index(module) :], module])
        if module in done:
            return
        open_.append(module)
        for name in own_imports(module) - {""}:  # the face imports everything, lazily
            if name != module and not _is_of(module, name):
                visit(name)
        done.add(open_.pop())

    for module in MODULES:
        visit(module)


def documented_rooms() -> list[list[str]]:
    """Return the rows of the table in docs/architecture.md: the rooms that each names."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return [[name.removesuffix("/").removesuffix(".py") for name in re.findall(r"`([^`]+)`", row)] for row in rows]


def test_the_table_of_the_documentation_runs_downwards() -> None:
    """In docs/architecture.md a room stands below every room that it imports."""
    row_of = {name: number for number, names in enumerate(documented_rooms()) for name in names}
    upwards = {
        f"{module} imports {name}"
        for module in MODULES
        for name in own_imports(module)
        if row_of.get(room_of(module), -1) < row_of.get(room_of(name), -1) and room_of(module) in row_of
    }
    assert upwards == set()


def test_the_table_of_the_documentation_names_what_there_is() -> None:
    """Every room of docs/architecture.md exists."""
    rooms = {room_of(module) for module in MODULES}
    assert {name for names in documented_rooms() for name in names} - rooms == set()


# --- who may import what ---------------------------------------------------------------------------------------------


def test_no_sdk_is_imported() -> None:
    """The library imports nothing beyond the standard library, OpenTelemetry and wrapt, not even late."""
    library = modules_but("cli", "demo", "testing")
    assert offenders(library, imports_beyond("opentelemetry", "wrapt", *TRANSPORTS)) == {}
    assert offenders([module for module in library if room_of(module) != "_otlp"], imports_of(*TRANSPORTS)) == {}


def test_the_demo_provider_needs_no_package() -> None:
    """The loopback provider runs on the standard library alone; what type checkers import is no need."""
    assert offenders(modules_in("demo"), imports_beyond("typing_extensions")) == {}


def test_providers_know_neither_telemetry_nor_patching() -> None:
    """A provider is data and pure functions: no OpenTelemetry, no wrapt."""
    assert offenders(modules_in("providers"), imports_of("opentelemetry", "wrapt")) == {}


def test_the_opentelemetry_sdk_is_for_sending_only() -> None:
    """Only what sends telemetry off may import OpenTelemetry's SDK; the others make do with the API."""
    heavy = imports_of("opentelemetry.sdk", "opentelemetry.exporter")
    assert offenders(modules_but("_otlp", "cli", "testing"), heavy) == {}


def test_signals_have_their_owners() -> None:
    """Spans, metrics and logs are touched by the recording modules and the composition root."""
    others = [module for module in modules_but(*OWNERS_OF_SIGNALS) if module not in SPEAK_TO_SDKS]
    assert offenders(others, imports_of(*SIGNALS)) == {}


def test_wrapt_has_one_owner() -> None:
    """Only `_patching` imports wrapt."""
    assert offenders(modules_but("_patching"), imports_of("wrapt")) == {}


# --- single owners ---------------------------------------------------------------------------------------------------


def broad_handlers(module: str) -> Iterator[tuple[int, ast.ExceptHandler, str]]:
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            names = {kind.id for kind in caught if isinstance(kind, ast.Name)}
            if node.type is None or names & {"Exception", "BaseException"}:
                yield node.lineno, node, "BaseException" if "BaseException" in names else "Exception"


def test_every_exception_is_caught_in_one_place() -> None:
    """`except Exception` and a bare `except` are the guard's; the others name what they expect."""

    def lines(module: str) -> Collection[object]:
        return [line for line, _, kind in broad_handlers(module) if kind == "Exception"]

    assert offenders(modules_but("_guard"), lines) == {}


def test_base_exceptions_go_on() -> None:
    """Who looks at a BaseException on its way lets it pass: cancellation and interrupts are never swallowed."""

    def swallowing(module: str) -> Collection[object]:
        handlers = [(line, handler) for line, handler, kind in broad_handlers(module) if kind == "BaseException"]
        return [
            line for line, handler in handlers if not any(isinstance(node, ast.Raise) for node in ast.walk(handler))
        ]

    assert offenders(MODULES, swallowing) == {}


def test_the_environment_has_one_door() -> None:
    """The process's environment is read by `_config` alone."""
    doors = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}

    def uses(module: str) -> Collection[object]:
        attributes = [node for node in ast.walk(tree(module)) if isinstance(node, ast.Attribute) and node.attr in doors]
        lines = [node.lineno for node in attributes if ast.unparse(node.value) == "os"]
        return [*lines, *(imported(module) & {f"os.{door}" for door in doors})]

    assert offenders(modules_but("_config"), uses) == {}


def stateful_names(module: str) -> set[str]:
    """Return the module-level names that hold state: made by something stateful, or changed in place, or rebound."""
    body = tree(module).body
    own_classes = {node.name for node in body if isinstance(node, ast.ClassDef) and not _is_frozen(node)}
    values: dict[str, ast.expr] = {}
    for node in body:
        if isinstance(node, ast.Assign):
            values.update({name.id: node.value for name in node.targets if isinstance(name, ast.Name)})
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
            values[node.target.id] = node.value
    made = {name for name, value in values.items() if _callee(value) in STATEFUL | own_classes}
    cached = {
        node.name
        for node in ast.walk(tree(module))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and {_callee(each) or ast.unparse(each) for each in node.decorator_list} & {"cache", "lru_cache"}
    }
    rebound = {name for node in ast.walk(tree(module)) if isinstance(node, ast.Global) for name in node.names}
    return made | cached | rebound | (changed_in_place(module) & values.keys())


def changed_in_place(module: str) -> set[str]:
    changed: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            changed.add(ast.unparse(node.func.value))
        elif isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
            changed.add(ast.unparse(node.value))
    return changed


def _callee(value: ast.expr) -> str:
    if not isinstance(value, ast.Call):
        return ""
    function = value.func.value if isinstance(value.func, ast.Subscript) else value.func
    return ast.unparse(function).rpartition(".")[2]


def _is_frozen(node: ast.ClassDef) -> bool:
    return any("frozen=True" in ast.unparse(decorator) for decorator in node.decorator_list)


def test_state_at_module_level_is_listed() -> None:
    """What changes at module level is `_api`'s, or has its reason in `MUTABLE_STATE`; nothing is listed in vain."""
    found = {f"{module}.{name}" for module in modules_but("demo", "cli") for name in stateful_names(module)}
    assert found == set(MUTABLE_STATE)


# --- size ------------------------------------------------------------------------------------------------------------


def test_modules_are_short() -> None:
    """A module has one purpose and fits into 300 lines."""
    lengths = {module: len(path.read_text(encoding="utf-8").splitlines()) for module, path in MODULES.items()}
    assert {module: length for module, length in lengths.items() if length > MOST_LINES} == {}


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function without its docstring, which is for its callers."""
    assert node.end_lineno is not None
    first = node.body[0]
    has_docstring = ast.get_docstring(node, clean=False) is not None
    docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if has_docstring else 0
    return node.end_lineno - node.lineno + 1 - docstring


def test_functions_are_short() -> None:
    """A function does one thing in at most 40 lines, its docstring not counted."""

    def long(module: str) -> Collection[object]:
        functions = [
            node for node in ast.walk(tree(module)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        return {f"{node.name}: {_length(node)}" for node in functions if _length(node) > MOST_FUNCTION_LINES}

    assert offenders(MODULES, long) == {}
