"""One measuring process: `python -m benchmarks.child MEASURE SUBJECT SIZES`.

It prepares, says so by an empty line, and then prints a sample as JSON for every line that it is sent.
"""

from __future__ import annotations

import json
import sys

from benchmarks.measures import MEASURES


def main(name: str, subject: str, sizes: str) -> None:
    """Measure whenever asked."""
    sample = MEASURES[name].prepare(subject, json.loads(sizes))
    sys.stdout.write("\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        sys.stdout.write(json.dumps(sample()) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
