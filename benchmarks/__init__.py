"""What streamspan costs, measured against the bare SDK and against another instrumentation: `python -m benchmarks`."""
