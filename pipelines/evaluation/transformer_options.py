"""Options of `evaluate_checkpoint.py` that only a transformer has a use for."""

import argparse

OF_TRANSFORMERS = ("tasks", "decoder", "temperature", "top_k", "top_p", "guidance_scale")


def options_of_transformers(arguments: argparse.Namespace) -> list[str]:
    """Those that were given and say how a transformer draws: other systems, and pictures and
    captions that were made elsewhere, do so in ways of their own."""
    given = ["rerank"] if arguments.rerank > 1 else []
    return given + [name for name in OF_TRANSFORMERS if getattr(arguments, name) is not None]
