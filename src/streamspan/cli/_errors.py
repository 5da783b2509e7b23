"""What a command cannot do, as one sentence for the person who asked."""

from __future__ import annotations

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


class CommandError(Exception):
    """Ends a command: the message goes to stderr, `status` is the exit status.

    Args:
        message: one sentence that says what is wrong and what to do.
        status: 2 for a command line that cannot be followed, 1 for everything else.
    """

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status
