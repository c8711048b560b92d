"""Does a discriminator forget the pictures of before as its data change (InfoMax-GAN, 2007.04589,
section 4.3)?

A GAN without text is trained on scenes of one shape after another. After each phase its
discriminator judges what it has seen in all of them: real pictures of each phase's shape, new ones,
and what the generator drew at the end of that phase.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import count, islice
from statistics import fmean

import numpy as np
import torch
from study.cells import Figures
from torch import Tensor

from gan import Discriminator, DiscriminatorHeads, GANObjective, Generator, GeneratorConfig
from gan_study.runs import GANStudy
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import GANRun
from pipelines.data.scenes import SHAPES, draw_scene, scene_at
from pipelines.data.transforms import arrays_to_pixels
from vq import GlobalBatch

CONFIG = "configs/gan/infomax_gan.yaml"
SIDE = 32
PHASE_STEPS = 150
JUDGED = 256
"""Pictures of each phase, real and drawn."""


def forget(study: GANStudy, seed: int) -> bool:
    """With the local-global contrast and without, from the same weights on the same pictures."""
    steps = study.shortened(PHASE_STEPS)

    def measure() -> Figures:
        arms = {"with": 1.0, "without": 0.0}
        return {"figures": {name: course(seed, weight, steps) for name, weight in arms.items()}}

    settings = [f"seed={seed}", f"steps={steps}", f"side={SIDE}"]
    return study.cells.run(f"forgetting_{seed}", settings, measure, wait=False) is not None


def course(seed: int, share: float, steps: int) -> list[dict[str, float]]:
    """What the discriminator tells right after each phase: of the phase's own pictures (`now`) and,
    from the second phase on, the mean over `earlier` ones.

    Args:
        share: of the configuration's weight of the contrast.
    """
    run = load_configuration(CONFIG, ["output=unused"], GANRun)
    weight = share * run.objective.local_global_weight
    torch.manual_seed(seed)
    generator = Generator(GeneratorConfig(vars(run.generator), (SIDE, SIDE)))
    discriminator = Discriminator(
        run.discriminator, (SIDE, SIDE), 0, DiscriminatorHeads(places=True)
    )
    settings = replace(run.objective, wrong_pairs_weight=0.0, local_global_weight=weight)
    game = GANObjective(generator, discriminator, settings, GlobalBatch(lambda tensor: tensor))
    optimizer = run.training.optimizer
    chosen = {
        "generator": optimizer,
        "discriminator": run.training.discriminator_optimizer or optimizer,
    }
    optimizers = {
        name: torch.optim.Adam(
            player.parameters(), chosen[name].learning_rate, betas=chosen[name].betas
        )
        for name, player in game.players.items()
    }
    seen: list[tuple[Tensor, Tensor]] = []
    found = []
    for phase, name in enumerate(SHAPES):
        real = pictures_of(name, seed, "train")
        for step in range(steps):
            batches = [
                {"pixels": arrays_to_pixels(np.stack(list(islice(real, run.training.batch_size))))}
                for _ in range(settings.discriminator_steps)
            ]
            play(game, optimizers, batches, phase * steps + step)
        with torch.no_grad():
            noise = generator.noise(JUDGED, torch.Generator().manual_seed(phase))
            fake = generator(noise)
        new = arrays_to_pixels(np.stack(list(islice(pictures_of(name, seed, "test"), JUDGED))))
        seen.append((new, fake))
        told = [told_apart(discriminator, *both) for both in seen]
        row = {"now": told[-1]}
        found.append(row | ({"earlier": fmean(told[:-1])} if phase else {}))
    return found


def play(
    game: GANObjective,
    optimizers: Mapping[str, torch.optim.Optimizer],
    batches: list[dict[str, Tensor]],
    step: int,
) -> None:
    """A step of both players."""
    for player, losses in game.turns(batches, step):
        optimizers[player].zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            for terms in losses:
                terms["loss"].backward()
        optimizers[player].step()


@torch.no_grad()
def told_apart(discriminator: Discriminator, real: Tensor, fake: Tensor) -> float:
    """The share of pairs of a real and a drawn picture of which the real one has the higher logit:
    0.5 by chance."""
    discriminator.eval()
    logits = [discriminator(pixels) for pixels in (real, fake)]
    discriminator.train()
    return (logits[0][:, None] > logits[1][None, :]).float().mean().item()


def pictures_of(shape: str, seed: int, split: str) -> Iterator[np.ndarray]:
    """Scenes of one object of this shape, uint8 [side, side, 3], without end."""
    for index in count():
        scene = scene_at(seed, split, index, 1, 1)
        if scene.objects[0].shape == shape:
            yield draw_scene(scene, SIDE, SIDE)
