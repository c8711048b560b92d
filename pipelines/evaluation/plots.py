"""Plots of a report: how codes are used, where ids are hard to tell, which questions are."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure as Plot

from pipelines.training.storage import replace_file


def plot_codes(path: Path, counts: np.ndarray) -> None:
    """How often each code occurs, the most frequent first."""
    plot, axes = plt.subplots(figsize=(5, 3), layout="constrained")
    shares = np.sort(counts)[::-1] / max(counts.sum(), 1)
    axes.plot(np.arange(1, len(shares) + 1), shares)
    axes.set(xlabel="code, by frequency", ylabel="share of all ids", yscale="log")
    _save(path, plot)


def plot_places(path: Path, bits: np.ndarray) -> None:
    """Mean bits of the id at each place of the grid."""
    plot, axes = plt.subplots(figsize=(4, 3.4), layout="constrained")
    shown = axes.imshow(bits, cmap="viridis")
    plot.colorbar(shown, label="bits per id")
    axes.set(xlabel="column", ylabel="row")
    _save(path, plot)


def plot_shares(path: Path, groups: Mapping[str, Mapping[str, float]]) -> None:
    """Bars of shares by name, one colour for each group."""
    names = list(dict.fromkeys(name for shares in groups.values() for name in shares))
    plot, axes = plt.subplots(
        figsize=(1.2 + 0.35 * len(names) * len(groups), 3.4), layout="constrained"
    )
    width = 0.8 / len(groups)
    for number, (label, shares) in enumerate(groups.items()):
        places = np.arange(len(names)) + (number - (len(groups) - 1) / 2) * width
        axes.bar(places, [shares.get(name, 0.0) for name in names], width, label=label)
    axes.set_xticks(np.arange(len(names)), [name.replace("_", " ") for name in names])
    axes.set(ylim=(0, 1), ylabel="share")
    axes.tick_params(axis="x", rotation=30)
    if len(groups) > 1:
        plot.legend(loc="outside upper center", fontsize=8)
    _save(path, plot)


def _save(path: Path, plot: Plot) -> None:
    replace_file(path, lambda file: plot.savefig(file, dpi=110))
    plt.close(plot)
