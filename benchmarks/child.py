"""One measuring process: `python -m benchmarks.child MEASURE SUBJECT SIZES` prints its sample as JSON."""

from __future__ import annotations

import json
import sys

from benchmarks.measures import MEASURES


def main(name: str, subject: str, sizes: str) -> None:
    """Measure, and print what came out as the last line."""
    sample = MEASURES[name].sample(subject, json.loads(sizes))
    sys.stdout.write(json.dumps(sample) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
