"""Commands and pipelines: the only package that knows the others."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.bidirectional_pipeline import BidirectionalPipeline

__all__ = ["BidirectionalPipeline"]


def __getattr__(name: str) -> Any:
    """Imports the pipeline when it is first asked for: the rest of the package does not need it."""
    if name in __all__:
        from pipelines import bidirectional_pipeline

        return getattr(bidirectional_pipeline, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
