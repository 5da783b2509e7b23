"""`python -m streamspan.demo`: the provider on its own, until interrupted."""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from streamspan.demo import SCENARIOS, DemoProvider


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM; the first line of standard output is the base URL."""
    parser = argparse.ArgumentParser(prog="python -m streamspan.demo", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="where to listen (default: any free port)")
    parser.add_argument("--scenario", default="ok", help="scenario in the printed URL, with parameters: late;pause=1")
    parser.add_argument("--list", action="store_true", help="list the scenarios and exit")
    options = parser.parse_args(arguments)
    if options.list:
        sys.stdout.writelines(f"{name:22}{scenario.summary}\n" for name, scenario in SCENARIOS.items())
        return 0
    stopped = threading.Event()

    def stop(_number: int, _frame: object) -> None:
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with DemoProvider(options.port, keep=False) as server:
        sys.stdout.write(f"{server.url(options.scenario)}\n")
        sys.stdout.flush()
        stopped.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
