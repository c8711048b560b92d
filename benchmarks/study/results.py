"""The cells of all seeds."""

from dataclasses import dataclass
from typing import Any

from study.cells import Figures, cell_name
from study.runs import Study
from study.verdicts import spread


@dataclass(frozen=True)
class Results:
    """What a study has found for so many seeds."""

    study: Study
    seeds: int

    def cells(self, data: str, arm: str) -> dict[int, Figures]:
        """By seed, those that are finished."""
        found = {s: self.study.cells.finished(cell_name(data, arm, s)) for s in range(self.seeds)}
        return {seed: cell for seed, cell in found.items() if cell is not None}

    def values(self, data: str, arm: str, figure: str) -> dict[int, float]:
        """A figure of an arm by seed: a path into a cell's `figures`, or `loss/NAME`, which is the
        last validation's."""
        found = {}
        for seed, cell in self.cells(data, arm).items():
            last = cell["curve"][-1] if "curve" in cell else {}
            losses = {name.removeprefix("validation_"): loss for name, loss in last.items()}
            value: Any = {**cell["figures"], "loss": losses}
            for key in figure.split("/"):
                value = value.get(key) if isinstance(value, dict) else None
            if value is not None:
                found[seed] = float(value)
        return found

    def shown(self, data: str, arm: str, figure: str, digits: int = 3) -> str:
        """Mean ± spread over seeds."""
        return spread(list(self.values(data, arm, figure).values()), digits)
