"""The parts of `benchmarks/reproduction.py`."""
