"""What the loop is given: an objective to train, and what reads the data."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from pipelines.data.batches import ReadingCounts

Batch = dict[str, Tensor]
Turn = tuple[str, Iterator[dict[str, Tensor]]]


class Objective(Protocol):
    """What the loop trains.

    Each turn names a player and yields, lazily, one dict per micro-batch or pass of one, whose
    differentiable `loss` summed over all of them and averaged over processes is the objective over
    the global batch; its other entries are detached metrics under the same normalisation. Each loss
    goes backward before the next one is asked for; the loop steps the player when the turn's
    iterator is used up, and only then asks for the next turn.
    """

    players: dict[str, Any]

    def turns(self, micro_batches: list[Batch], step: int) -> Iterator[Turn]: ...

    def evaluate(self, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        """Name -> (sum, count) of validation figures."""

    def validation_loss(self, means: dict[str, float]) -> float:
        """What the best weights have the least of, from the means of `evaluate`."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Work:
    """Of some samples: tokens that pass through the model (padding of texts included, each
    direction by itself), and model FLOPs, forward and backward, however they are computed."""

    tokens: int = 0
    flops: int = 0


class Reading(Protocol):
    """What reads the data: what it found so far, and where it stands."""

    counts: ReadingCounts

    @property
    def bookmark(self) -> dict[str, Any]:
        """As JSON; after the step that was read last."""

    def go_to(self, bookmark: dict[str, Any]) -> str:
        """Goes on from there; says in a phrase what has changed about the data, if anything.

        Raises:
            UserError: it cannot.
        """
