"""Losses by step, and right drawings by guidance and candidates, as pictures."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt

from pipelines.training.storage import replace_file
from reproduction_study.claims import IDS, TOKENS
from reproduction_study.results import ReproductionResults
from reproduction_study.sampling_figures import CANDIDATES, GUIDANCE_SCALES

BY_STEP = {
    "sparse": ("dense", "base", "row", "column", "conv"),
    "end_to_end": ("base", "end_to_end", "end_to_end_predicting", "dvae", "dvae_end_to_end"),
}
"""Arms by picture, of losses per image id."""
DIRECTIONS = {
    IDS: ("both", "draw_only", "draw_only_twice"),
    TOKENS: ("both", "describe_only", "describe_only_twice"),
}
"""Arms by loss."""
SAMPLING: dict[str, dict[str, tuple[str, Sequence[float]]]] = {
    "guidance scale": {"guidance": ("drawn right", GUIDANCE_SCALES)},
    "best of": {
        "best_of": ("by the model's own captions", CANDIDATES),
        "best_of_by_dual_encoder": ("by the dual encoder", CANDIDATES),
        "any_of": ("if the right one were known", CANDIDATES),
    },
}
"""Lines by panel: name and points."""
LOSSES = {IDS: "nats per image id, validation", TOKENS: "nats per token, validation"}

Draw = Callable[[Any], None]


def plot_curves(results: ReproductionResults, folder: Path) -> None:
    """`reproduction_sparse.png`, `_end_to_end.png`, `_directions.png` and `_sampling.png`: means,
    and the range over seeds."""
    folder.mkdir(parents=True, exist_ok=True)

    def by_step(data: str, loss: str, arms: Sequence[str]) -> Draw:
        def draw(panel: Any) -> None:
            for arm in arms:
                plot_arm(panel, results, data, arm, loss)
            panel.set(title=data, xlabel="step", ylabel=LOSSES[loss])

        return draw

    def by_point(axis: str) -> Draw:
        def draw(panel: Any) -> None:
            for key, (label, points) in SAMPLING[axis].items():
                paths = [f"sampling/{key}/{point}" for point in points]
                found = [list(results.values("scenes", "base", path).values()) for path in paths]
                if all(found):
                    plot_line(panel, points, found, label)
            panel.set(title="scenes", xlabel=axis, ylabel="drawn right")
            panel.set_xscale("log", base=2)

        return draw

    for name, arms in BY_STEP.items():
        draw_panels(folder, name, [by_step(data, IDS, arms) for data in results.data])
    draw_panels(folder, "directions", [by_step("scenes", *one) for one in DIRECTIONS.items()])
    draw_panels(folder, "sampling", [by_point(axis) for axis in SAMPLING])


def draw_panels(folder: Path, name: str, panels: Sequence[Draw]) -> None:
    """`reproduction_NAME.png`: panels beside each other."""
    figure, axes = plt.subplots(1, len(panels), figsize=(6 * len(panels), 4), squeeze=False)
    for panel, draw in zip(axes[0], panels, strict=True):
        draw(panel)
        panel.grid(visible=True, alpha=0.3)
        if panel.lines:
            panel.legend(fontsize=8)
    figure.tight_layout()
    save_figure(figure, folder / f"reproduction_{name}.png")


def save_figure(figure: Any, path: Path) -> None:
    """A PNG, whole or not there."""
    replace_file(path, lambda file: figure.savefig(file, format="png", dpi=90))
    plt.close(figure)


def plot_arm(panel: Any, results: ReproductionResults, data: str, arm: str, loss: str) -> None:
    """An arm's validation losses."""
    key = loss.replace("loss/", "validation_")
    curves = [
        {row["step"]: row[key] for row in cell["curve"]}
        for cell in results.cells(data, arm).values()
    ]
    if curves:
        steps = sorted(set.intersection(*map(set, curves)))
        plot_line(panel, steps, [[one[step] for one in curves] for step in steps], arm)


def plot_line(panel: Any, points: Sequence, values: list[list[float]], label: str) -> None:
    """The mean of the values at each point, and their range."""
    panel.plot(points, list(map(fmean, values)), marker=".", label=label)
    panel.fill_between(points, list(map(min, values)), list(map(max, values)), alpha=0.2)
