"""Patches by themselves: made now or at the import, undone exactly, dormant under somebody else's."""

from __future__ import annotations

import functools
import pickle
import sys
from collections.abc import Callable, Iterator
from copy import copy, deepcopy
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import wrapt

from streamspan._patching import Patch, Patches

LIBRARY = """
class Base:
    def inherited(self):
        return "inherited"

class Client(Base):
    def send(self, word, *, loud=False):
        return word.upper() if loud else word

    @classmethod
    def make(cls):
        return cls.__name__

    @staticmethod
    def help():
        return "help"

def function():
    return "function"

value = 3
"""


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of a library that nobody has imported yet."""
    made = f"acme_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{made}.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)
    yield made
    sys.modules.pop(made, None)


@pytest.fixture
def library(name: str) -> ModuleType:
    return __import__(name)


def around(wrapped: Any, _instance: Any, args: Any, kwargs: Any) -> Any:
    return f"<{wrapped(*args, **kwargs)}>"


def patch(module: str, path: str, **fields: Any) -> Patch:
    return Patch(module, path, around, **fields)


def test_what_is_imported_is_patched_now(name: str, library: ModuleType) -> None:
    """Functions and methods of every kind, for objects that exist already; arguments arrive."""
    client = library.Client()
    paths = ["Client.send", "Client.make", "Client.help", "function"]
    patches = Patches(patch(name, path) for path in paths)
    patches.apply()
    assert client.send("word", loud=True) == "<WORD>"
    assert (library.Client.make(), client.help(), library.function()) == ("<Client>", "<help>", "<function>")
    assert [patches.is_applied(each) for each in patches.patches] == [True] * 4
    assert patches.missing == []


def test_what_is_not_imported_is_patched_then(name: str) -> None:
    """And only then."""
    patches = Patches([patch(name, "function")])
    patches.apply()
    patches.undo()
    patches.apply()
    assert name not in sys.modules
    assert not patches.is_applied(patches.patches[0])
    assert __import__(name).function() == "<function>"
    assert patches.is_applied(patches.patches[0])


def test_an_import_after_undo_is_left_alone(name: str) -> None:
    """The hook has nothing to do any more; a later `apply` makes up for it."""
    patches = Patches([patch(name, "function")])
    patches.apply()
    patches.undo()
    library: Any = __import__(name)
    assert library.function() == "function"
    patches.apply()
    assert library.function() == "<function>"


def test_undo_gives_the_very_originals_back(name: str, library: ModuleType) -> None:
    """Also those that a class only inherits, where they belong."""
    before = [dict(vars(place)) for place in (library, library.Base, library.Client)]
    patches = Patches([patch(name, path) for path in ("Client.send", "Client.inherited", "Client.make", "function")])
    patches.apply()
    assert library.Client().inherited() == "<inherited>"
    assert "inherited" not in vars(library.Client)
    patches.undo()
    patches.undo()
    assert [dict(vars(place)) for place in (library, library.Base, library.Client)] == before
    assert patches.is_active is False


def test_applying_twice_is_once(name: str, library: ModuleType) -> None:
    """One layer."""
    patches = Patches([patch(name, "function")])
    patches.apply()
    patches.apply()
    assert library.function() == "<function>"


def test_under_somebody_elses_patch_ours_sleeps_and_wakes(name: str, library: Any) -> None:
    """Theirs stays in place; ours does nothing until it is applied again, and then once."""
    patches = Patches([patch(name, "function")])
    patches.apply()
    ours = library.function
    library.function = lambda: f"[{ours()}]"
    patches.undo()
    assert library.function() == "[function]"
    assert patches.is_applied(patches.patches[0])
    patches.apply()
    assert library.function() == "[<function>]"


@pytest.mark.parametrize("is_dressed", [False, True], ids=["plain", "functools.wraps"])
def test_an_override_in_a_subclass_is_no_copy(name: str, library: Any, is_dressed: bool) -> None:
    """It calls the base's, which is patched: twice would be two sessions. A wrapper of wrapt's around it is a copy."""

    class Subclass(library.Client):  # type: ignore[misc] # of a module that is made by the test
        def send(self, word: str) -> Any:
            return f"[{super().send(word)}]"

    class Patched(library.Client):  # type: ignore[misc]
        pass

    if is_dressed:
        Subclass.send = functools.wraps(library.Client.send)(Subclass.send)  # type: ignore[method-assign]
    Patched.send = wrapt.FunctionWrapper(library.Client.send, lambda wrapped, _self, args, _: f"({wrapped(*args)})")
    patches = Patches([patch(name, "Client.send")])
    patches.apply()
    assert Subclass().send("a") == "[<a>]"
    assert Patched().send("a") in {"<(a)>", "(<a>)"}
    patches.undo()
    assert Subclass().send("a") == "[a]"
    assert Patched().send("a") == "(a)"


@pytest.mark.parametrize("path", ["missing", "Client.missing", "Missing.send", "value.real.deep"])
def test_a_place_that_is_not_there_is_one_warning(
    name: str, library: ModuleType, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It names module and place, and the others are patched."""
    patches = Patches([patch(name, path), patch(name, "function")])
    patches.apply()
    assert caplog.messages == [
        f"streamspan: {name} has no {path}; what goes through it is not recorded (`streamspan doctor` says more)"
    ]
    assert patches.missing == [patches.patches[0]]
    assert library.function() == "<function>"


def test_applying_again_says_nothing_again(name: str, library: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    """What was missing is known, and listed once."""
    patches = Patches([patch(name, "missing")])
    for _ in range(3):
        patches.apply()
        patches.undo()
    assert len(caplog.messages) == 1
    assert patches.missing == [patches.patches[0]]
    assert library.function() == "function"


def test_a_place_that_only_some_versions_have_is_no_news(
    name: str, library: ModuleType, caplog: pytest.LogCaptureFixture
) -> None:
    """It is missing, silently."""
    patches = Patches([patch(name, "missing", is_optional=True)])
    patches.apply()
    assert (caplog.messages, patches.missing) == ([], [patches.patches[0]])
    assert library.function() == "function"


def test_an_exception_of_the_original_goes_through(name: str, library: ModuleType) -> None:
    """Nothing of ours is in its way, awake or asleep."""
    patches = Patches([patch(name, "Client.send")])
    for _ in range(2):
        patches.apply()
        with pytest.raises(TypeError):
            library.Client().send()
        patches.undo()


# --- copying and pickling ----------------------------------------------------------------------------------------


def _pickled(it: Any, protocol: int) -> Any:
    return pickle.loads(pickle.dumps(it, protocol))


_COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy,
    "deepcopy": deepcopy,
    **{f"pickle-{number}": partial(_pickled, protocol=number) for number in range(6)},
    "pickle-python": lambda it: pickle.loads(pickle._dumps(it)),  # type: ignore[attr-defined] # not in typeshed
}
_HELD: dict[str, Callable[[Any], Any]] = {
    "function": lambda library: library.function,
    "of the class": lambda library: library.Client.send,
    "in the class": lambda library: vars(library.Client)["send"],
    "inherited": lambda library: library.Client.inherited,
    "bound": lambda library: library.Client().send,
    "bound and inherited": lambda library: library.Client().inherited,
    "class method": lambda library: library.Client.make,
    "class method of an object": lambda library: library.Client().make,
    "static method": lambda library: library.Client.help,
}


def _shown(held: Any, made: Any, library: Any) -> tuple[Any, ...]:
    """Return what a copy is to who made it: its names, whose it is, and what it does."""
    owner = getattr(made, "__self__", None)
    given = (library.Client(),) if owner is None and made.__name__ in {"send", "inherited"} else ()
    words = ("word",) if made.__name__ == "send" else ()
    return made.__qualname__, type(owner), owner is getattr(held, "__self__", None), made(*given, *words).strip("<>")


@pytest.mark.parametrize("way", _COPIES)
@pytest.mark.parametrize("what", _HELD)
def test_what_is_patched_is_copied_and_pickled_as_before(name: str, library: Any, what: str, way: str) -> None:
    """A copy is what the original's would be, and patched; wrapt's own wrappers refuse both."""
    bare = _HELD[what](library)
    expected = _shown(bare, _COPIES[way](bare), library)
    patches = Patches(
        patch(name, path) for path in ["Client.send", "Base.inherited", "Client.make", "Client.help", "function"]
    )
    patches.apply()
    held = _HELD[what](library)
    made = _COPIES[way](held)
    assert _shown(held, made, library) == expected
    assert made.__wrapped__ is not None
    patches.undo()


def test_what_is_patched_looks_as_before(name: str, library: Any) -> None:
    """To whoever prints it."""
    wanted = [repr(each) for each in (library.function, library.Client.send, library.Client.help, library.Client.make)]
    patches = Patches([patch(name, path) for path in ("function", "Client.send", "Client.help", "Client.make")])
    patches.apply()
    each = (library.function, library.Client.send, library.Client.help, library.Client.make)
    assert [repr(function) for function in each] == wanted


def test_what_is_pickled_needs_no_streamspan(name: str, library: Any) -> None:
    """Whoever reads it may not have it installed, and gets what is there."""
    original = library.Client.send
    patches = Patches([patch(name, "Client.send")])
    patches.apply()
    pickles = [pickle.dumps(held) for held in (library.Client.send, library.Client().send)]
    assert [b"streamspan" in each or b"wrapt" in each for each in pickles] == [False, False]
    assert pickle.loads(pickles[1])("word") == "<word>"
    patches.undo()
    assert pickle.loads(pickles[0]) is original
    assert pickle.loads(pickles[1])("word") == "word"


def test_a_function_that_nobody_can_find_is_not_pickled(name: str, library: Any) -> None:
    """As without us: the name of a function inside a function leads nowhere."""

    def local() -> None: ...

    library.Client.local = local
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(library.Client.local)
    patches = Patches([patch(name, "Client.local")])
    patches.apply()
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(library.Client.local)
    patches.undo()
