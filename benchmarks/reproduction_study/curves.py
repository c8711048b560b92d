"""Validation losses by step, as pictures."""

from pathlib import Path
from statistics import fmean
from typing import Any

import matplotlib.pyplot as plt

from reproduction_study.results import Results

PICTURES = {
    "sparse": ("dense", "base", "row", "column", "conv"),
    "end_to_end": ("base", "end_to_end", "end_to_end_predicting", "dvae", "dvae_end_to_end"),
}
"""Arms by picture."""


def plot_curves(results: Results, folder: Path) -> None:
    """`reproduction_sparse.png` and `reproduction_end_to_end.png`: mean validation loss per id, and
    the range over seeds."""
    for name, arms in PICTURES.items():
        figure, panels = plt.subplots(
            1, len(results.data), figsize=(6 * len(results.data), 4), squeeze=False
        )
        for panel, data in zip(panels[0], results.data, strict=True):
            for arm in arms:
                plot_arm(panel, results, data, arm)
            panel.set(title=data, xlabel="step", ylabel="nats per image id, validation")
            panel.grid(visible=True, alpha=0.3)
            panel.legend(fontsize=8)
        figure.tight_layout()
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / f"reproduction_{name}.png", dpi=100)
        plt.close(figure)


def plot_arm(panel: Any, results: Results, data: str, arm: str) -> None:
    """One line with its range."""
    curves = [
        {row["step"]: row["validation_text_to_image"] for row in cell["curve"]}
        for cell in results.cells(data, arm).values()
    ]
    if not curves:
        return
    steps = sorted(set.intersection(*map(set, curves)))
    columns = [[one[step] for one in curves] for step in steps]
    panel.plot(steps, list(map(fmean, columns)), marker=".", label=arm)
    panel.fill_between(steps, list(map(min, columns)), list(map(max, columns)), alpha=0.2)
