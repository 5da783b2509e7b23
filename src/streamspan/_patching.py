"""Patches: made when a module is imported, undone exactly, dormant when somebody has patched on top.

The only module that knows wrapt. What is patched, and with what, is told by the integrations.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import wrapt

if TYPE_CHECKING:  # in wrapt 1 they are not generic
    _BoundFunctionWrapper = wrapt.BoundFunctionWrapper[..., Any]
    _FunctionWrapper = wrapt.FunctionWrapper[..., Any]
else:
    _BoundFunctionWrapper, _FunctionWrapper = wrapt.BoundFunctionWrapper, wrapt.FunctionWrapper

Wrapper: TypeAlias = Callable[[Any, Any, tuple[Any, ...], dict[str, Any]], Any]
"""`wrapper(wrapped, instance, args, kwargs)`, as wrapt calls it."""

_logger = logging.getLogger("streamspan")


@dataclass(frozen=True, slots=True)
class Patch:
    """One place to patch.

    Args:
        module: where it is; patched when this module is imported, or now if it is already.
        name: dotted path inside the module.
        wrapper: what is called instead.
        is_optional: its absence is no news (a seam that only some versions have).
    """

    module: str
    name: str
    wrapper: Wrapper
    is_optional: bool = False


@dataclass(slots=True)
class _Applied:
    parent: Any
    attribute: str
    original: Any
    replacement: Any

    def restored(self) -> bool:
        """Put the original back; return False where somebody has patched on top."""
        if self.parent.__dict__.get(self.attribute) is not self.replacement:
            return False
        setattr(self.parent, self.attribute, self.original)
        return True


class _Method(_BoundFunctionWrapper):
    """What a class or one of its objects shows of a patched function. Copied and pickled as the original would be."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        owner = getattr(self.__wrapped__, "__self__", None)
        if owner is None or isinstance(owner, type):
            return self
        return self._self_parent.__get__(deepcopy(owner, memo), type(owner))

    def __reduce_ex__(self, protocol: Any) -> Any:
        wrapped = self.__wrapped__
        # A bound one is pickled as its object and its name, by which ours is found again.
        is_bound = getattr(wrapped, "__self__", None) is not None
        return wrapped.__reduce_ex__(protocol) if is_bound else _by_name(wrapped)

    def __reduce__(self) -> Any:
        return self.__reduce_ex__(2)


class _Function(_FunctionWrapper):
    """A patched function; wrapt's own can be neither copied nor pickled."""

    __slots__ = ()

    __bound_function_wrapper__ = _Method

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _by_name(self.__wrapped__)

    def __reduce__(self) -> Any:
        return self.__reduce_ex__(2)


def _by_name(function: Any) -> Any:
    """Say for pickle where a function is, with nothing of ours in it: who reads it may be without streamspan."""
    holder, _, name = function.__qualname__.rpartition(".")
    if not holder:
        return name
    # Where its name is enough, pickle wants to find the very object there; a class makes another one each time.
    owner: Any = sys.modules.get(function.__module__)
    for part in holder.split("."):
        owner = getattr(owner, part, None)
    return function.__qualname__ if owner is None else (getattr, (owner, name))


class Patches:
    """The patches of one integration, with their states for `doctor`."""

    def __init__(self, patches: Iterable[Patch]) -> None:
        self.patches = tuple(patches)
        self.is_active = False
        self.missing: list[Patch] = []
        self._applied: dict[Patch, list[_Applied]] = {}
        self._hooked: set[str] = set()

    def apply(self) -> None:
        """Patch what is imported, and the rest when it is imported; or wake up what had gone dormant."""
        self.is_active = True
        for module in dict.fromkeys(patch.module for patch in self.patches):
            if module not in self._hooked:
                self._hooked.add(module)
                wrapt.register_post_import_hook(self._imported, module)
            elif module in sys.modules:
                self._imported(sys.modules[module])

    def undo(self) -> None:
        """Restore every original; a patch that somebody has patched over stays in place and does nothing."""
        self.is_active = False
        for patch, places in list(self._applied.items()):
            left = [place for place in places if not place.restored()]
            if left:
                self._applied[patch] = left
            else:
                del self._applied[patch]

    def is_applied(self, patch: Patch) -> bool:
        """Tell whether a patch is in place."""
        return patch in self._applied

    def _imported(self, module: Any) -> None:
        # An exception in here would break the application's import.
        if not self.is_active:
            return
        for patch in self.patches:
            if patch.module == module.__name__ and patch not in self._applied:
                self._apply(patch, module)

    def _apply(self, patch: Patch, module: Any) -> None:
        try:
            parent, attribute, original = wrapt.resolve_path(module, patch.name)
        except (AttributeError, TypeError):
            if patch in self.missing:
                return
            self.missing.append(patch)
            if not patch.is_optional:
                _logger.warning(
                    "streamspan: %s has no %s; what goes through it is not recorded (`streamspan doctor` says more)",
                    patch.module,
                    patch.name,
                )
            return
        if attribute not in parent.__dict__:
            parent = next((base for base in getattr(parent, "__mro__", ()) if attribute in base.__dict__), parent)
        places: list[_Applied] = []
        for owner, found in [(parent, original), *_copies(parent, attribute, original)]:
            replacement = _Function(found, self._switchable(patch.wrapper))
            setattr(owner, attribute, replacement)
            places.append(_Applied(owner, attribute, found, replacement))
        self._applied[patch] = places

    def _switchable(self, wrapper: Wrapper) -> Wrapper:
        def switchable(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if not self.is_active:
                return wrapped(*args, **kwargs)
            return wrapper(wrapped, instance, args, kwargs)

        return switchable


def _copies(parent: Any, attribute: str, original: Any) -> Iterator[tuple[Any, Any]]:
    """Yield subclasses that have the original, or a wrapper around it, as their own, and that.

    Who patches `OpenAI.request` before us (OpenInference does) puts the base class's function, wrapped, into the
    subclass: calls would go past the patch of the base class.
    """
    pending = _subclasses(parent)
    while pending:
        owner = pending.pop()
        pending.extend(_subclasses(owner))
        found = owner.__dict__.get(attribute)
        inner = found
        # Only wrapt's: a function that `functools.wraps` has dressed up may be an override, which calls the base's.
        while inner is not original and issubclass(type(inner), wrapt.FunctionWrapper):
            inner = inner.__wrapped__
        if inner is original:
            yield owner, found


def _subclasses(parent: Any) -> list[Any]:
    return type.__subclasses__(parent) if isinstance(parent, type) else []
