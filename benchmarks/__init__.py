"""Side-by-side measurements against peers, a module a subject. Run as ``python -m benchmarks.<subject>``."""
