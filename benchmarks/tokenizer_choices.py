"""What each choice about the codebook and the discriminator is worth: one tokenizer, trained with
and without it.

    python benchmarks/tokenizer_choices.py --config configs/tokenizer/quickstart.yaml \\
        --steps 800 --output runs/tokenizer_choices

Every row trains the configuration anew with the same steps and seed, one thing changed
(Gumbel-softmax brings the losses and the learning rate that it takes; contrasts are beside the
hinge loss of "with a discriminator", but for one arm). Figures are of validation pictures that no
step has seen; of `scenes` also how many of 500 test scenes of one object the exact reader reads
right off the reconstruction.
Prints a table and leaves `choices.json` and `choices.png` (originals, then a row per arm).
`--only TEXT` trains the arms whose name has it; `key=value` overrides of the configuration may
follow.
"""

import argparse
import json
import time
from typing import Any

import torch
from reproduction_study.arms import GUMBEL
from tokenizer_figures import tokenizer_figures, validation_pixels

from pipelines import train_tokenizer
from pipelines.command_line import UserError, command, open_output
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import TokenizerRun
from pipelines.evaluation.scene_accuracy import reconstruction_accuracy, scene_set
from pipelines.markdown_tables import table
from pipelines.samples import save_grid
from pipelines.training.checkpoint import open_checkpoint
from vq import VQGAN

EUCLIDEAN = "model.codebook_distance=euclidean"
GRADIENT = "model.codebook_update=gradient"
RANDOM_START = "model.codebook_start=random"
NO_REVIVAL = "model.revive_after_steps=0"
JUDGE = ("discriminator.base_channels=32", "discriminator.layers=2")
HINGE = ("objective.adversarial_weight=0.8", *JUDGE)
ARMS = {
    "as configured": (),
    "euclidean codes": (EUCLIDEAN,),
    "codes follow the gradient": (GRADIENT,),
    "codes start at random": (RANDOM_START,),
    "no revival": (NO_REVIVAL,),
    "random start, no revival": (RANDOM_START, NO_REVIVAL),
    "all four: the first VQ-VAE": (EUCLIDEAN, GRADIENT, RANDOM_START, NO_REVIVAL),
    "Gumbel-softmax (dVAE)": GUMBEL,
    "with a discriminator": HINGE,
    "with a discriminator, dual contrastive": (
        *HINGE,
        "objective.adversarial_loss=dual_contrastive",
    ),
    "with a discriminator, local-global beside hinge": (
        *HINGE,
        "contrasts.local_global_weight=0.2",
    ),
    "with a discriminator, a tenth of that": (*HINGE, "contrasts.local_global_weight=0.02"),
    "with a discriminator, local-global in place of hinge": (
        *JUDGE,
        "contrasts.local_global_weight=0.2",
    ),
    "with a discriminator, real-fake beside hinge": (*HINGE, "contrasts.real_fake_weight=0.1"),
}
SHOWN = 12
SCENES = 500


@command
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train a tokenizer with and without each choice.")
    parser.add_argument("--config", required=True, metavar="YAML")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--output", required=True, metavar="DIR", help="a new or empty folder")
    parser.add_argument("--only", default="", metavar="TEXT", help="arms whose name has it")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    arguments = parser.parse_intermixed_args(argv)
    arms = {name: changes for name, changes in ARMS.items() if arguments.only in name}
    if not arms:
        raise UserError(f"--only {arguments.only}: no arm has it; they are {', '.join(ARMS)}.")
    folder = open_output(arguments.output)
    fixed = [*arguments.overrides, f"training.steps={arguments.steps}", "training.minutes=null"]
    fixed += ["training.sample_every=0", "training.trackers=[]"]
    fixed += [f"objective.temperature_steps={arguments.steps * 3 // 4}"]
    config = load_configuration(arguments.config, [*fixed, "output=unused"], TokenizerRun)
    pixels, scenes = validation_pixels(config), None
    if config.data.source == "scenes":
        scenes = scene_set("test", SCENES, 1, config.data.height_width)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    rows: list[dict[str, Any]] = []
    shown = [pixels[:SHOWN]]
    for number, (name, changes) in enumerate(arms.items()):
        output = folder / f"arm_{number}"
        start = time.perf_counter()
        overrides = [*fixed, *changes, f"output={output}"]
        train_tokenizer.main(["--config", arguments.config, *overrides])
        seconds = time.perf_counter() - start
        tokenizer = VQGAN.from_pretrained(open_checkpoint(output, "tokenizer").tokenizer).eval()
        figures, again = tokenizer_figures(tokenizer, pixels)
        if scenes is not None:
            figures["read_right"] = reconstruction_accuracy(tokenizer, scenes)
        rows.append({"arm": name, **figures, "seconds": seconds})
        shown.append(again[:SHOWN])
        (folder / "choices.json").write_text(json.dumps(rows, indent=2) + "\n")
    save_grid(folder / "choices.png", shown)
    body = [
        (
            row["arm"],
            f"{row['psnr']:.2f}",
            f"{row['read_right']:.3f}" if scenes is not None else "",
            str(row["codes_used"]),
            f"{row['perplexity']:.0f}",
            f"{row['seconds']:.0f}",
        )
        for row in rows
    ]
    print(
        table([("arm", "PSNR, dB", "read right", "codes in use", "perplexity", "seconds"), *body])
    )


if __name__ == "__main__":
    main()
