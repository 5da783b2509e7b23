"""The harness: one program, run without and with streamspan, in either colour."""
