"""Side-by-side timings, run on demand: ``python -m benchmarks``."""
