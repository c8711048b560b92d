"""Measures how strict the exact reader can be, and what it then refuses.

    python -m pipelines.data.scenes.calibration [--scenes 10000]

Draws that many fixed scenes (one to four objects, every fourth scene with a held-out pair) at 64
and at 128 pixels, and reads each as drawn and damaged. The worst figures are the strictest
thresholds that still pass all of them: `reader.py` holds these. About three minutes on one core.
"""

import argparse
from dataclasses import dataclass

import numpy as np

from pipelines.data.scenes.counterexamples import COUNTEREXAMPLES
from pipelines.data.scenes.damage import damage
from pipelines.data.scenes.drawing import draw_scene
from pipelines.data.scenes.reader import Reading, measure, read_scene
from pipelines.data.scenes.scene import MAX_OBJECTS, Scene, SceneObject, scene_at

SEED = 0
PICTURE_SIZES = (64, 128)


@dataclass
class Worst:
    """The largest figures of all scenes' readings, and how many were not read as what they are."""

    misfit: float = 0.0
    rivalry: float = 0.0
    size_error: float = 0.0
    leftover: float = 0.0
    misread: int = 0


def pictures(index: int, size: int) -> tuple[Scene, np.ndarray, np.ndarray]:
    """Fixed scene number `index`, its picture and its damaged one, uint8 [size, size, 3]."""
    split = "held_out" if index % 4 == 0 else "test"
    scene = scene_at(SEED, split, index, 1, MAX_OBJECTS)
    rng = np.random.default_rng((SEED, index, size))
    drawn = draw_scene(scene, size, size)
    return scene, drawn, damage(drawn, rng)


def attributes(objects: tuple[SceneObject, ...]) -> list[tuple[str, str, str]]:
    """Size, colour and shape of the objects, in an order that does not depend on theirs."""
    return sorted((item.size, item.colour, item.shape) for item in objects)


def worst_readings(scenes: int, size: int) -> Worst:
    """Reads the first `scenes` scenes at one picture size, as drawn and damaged."""
    worst = Worst()
    for index in range(scenes):
        scene, *both = pictures(index, size)
        for pixels in both:
            _take_in(worst, measure(pixels), scene)
    return worst


def _take_in(worst: Worst, reading: Reading | None, scene: Scene) -> None:
    items = tuple(blob.item for blob in reading.objects) if reading else ()
    if reading is None or attributes(items) != attributes(scene.objects):
        worst.misread += 1
        return
    worst.leftover = max(worst.leftover, reading.leftover)
    for blob in reading.objects:
        worst.misfit = max(worst.misfit, blob.misfit)
        worst.rivalry = max(worst.rivalry, blob.rivalry)
        worst.size_error = max(worst.size_error, blob.size_error)


def refusal_rates(scenes: int, size: int) -> dict[str, float]:
    """Share of each kind of wrong picture, from scenes of one or two objects, that is refused."""
    rates = {}
    for counterexample in COUNTEREXAMPLES:
        refused = 0
        for index in range(scenes):
            scene = scene_at(SEED, "test", index, 1, 2)
            rng = np.random.default_rng((SEED, index))
            refused += read_scene(counterexample(scene, rng, size, size)) is None
        rates[counterexample.__name__] = refused / scenes
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the exact reader's strictest thresholds.")
    parser.add_argument("--scenes", type=int, default=10_000)
    scenes = parser.parse_args().scenes
    for size in PICTURE_SIZES:
        print(f"{scenes} scenes at {size} pixels: {worst_readings(scenes, size)}")
    for name, rate in refusal_rates(max(scenes // 10, 1), PICTURE_SIZES[0]).items():
        print(f"refuses {rate:.4f} of {name}")


if __name__ == "__main__":
    main()
