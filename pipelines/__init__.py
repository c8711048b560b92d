"""Commands and pipelines: the only package that knows the others."""
