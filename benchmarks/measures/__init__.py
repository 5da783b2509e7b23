"""One module per measure; this is their list, in the order of the table."""

from __future__ import annotations

from benchmarks.measures import (
    chunk_path,
    concurrency,
    imports,
    memory,
    pass_through,
    sdk_streams,
    sockets,
    stream_cost,
    untouched,
)
from benchmarks.records import Measure

MEASURES: dict[str, Measure] = {
    measure.name: measure
    for measure in (
        chunk_path.MEASURE,
        stream_cost.MEASURE,
        memory.MEASURE,
        *sdk_streams.MEASURES,
        concurrency.MEASURE,
        imports.MEASURE,
        pass_through.MEASURE,
        untouched.MEASURE,
        sockets.MEASURE,
    )
}
