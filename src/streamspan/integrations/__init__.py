"""Where to put the taps in each library. Every integration is a `Integration`: a name and its patches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from streamspan._guard import Guard
from streamspan._patching import Patch
from streamspan._sessions import Sessions


@dataclass(frozen=True, slots=True)
class Integration:
    """One library that can be instrumented.

    Args:
        name: what `libraries=` and `STREAMSPAN_LIBRARIES` call it.
        distribution: what `pip` calls it.
        oldest: oldest version that is supported.
        patches: makes its patches, given who opens sessions and the integration's fence.
        helpers: names of integrations below it that are always needed with it.
        helper_patches: makes its patches where it is only wanted as a helper; None where they are the same.
    """

    name: str
    distribution: str
    oldest: str
    patches: Callable[[Sessions, Guard], list[Patch]]
    helpers: tuple[str, ...] = ()
    helper_patches: Callable[[Sessions, Guard], list[Patch]] | None = None


Patches = Callable[[Sessions, Guard], list[Patch]]


def together(*makers: Patches) -> Patches:
    """Return the maker of all the patches of several: a library that is patched in places of different kinds."""
    return lambda sessions, guard: [patch for maker in makers for patch in maker(sessions, guard)]
