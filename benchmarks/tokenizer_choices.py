"""What each choice about the codebook is worth: one tokenizer, trained with and without it.

    python benchmarks/tokenizer_choices.py --config configs/tokenizer/quickstart.yaml \\
        --steps 800 --output runs/tokenizer_choices

Every row trains the configuration anew with the same steps and seed, one thing changed. Figures are
of validation pictures that no step has seen: PSNR, codes in use, and the perplexity of the ids
(e ** entropy: low is easy for the second stage, the codebook's size is a codebook used evenly).
Prints a table and leaves `choices.json` and `choices.png` (originals, then a row per arm).
`key=value` overrides of the configuration may follow.
"""

import argparse
import json
import time

import numpy as np
import torch

from pipelines import train_tokenizer
from pipelines.command_line import command, open_output
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import TokenizerRun
from pipelines.data.sources import open_training_sources
from pipelines.data.transforms import arrays_to_pixels, to_array
from pipelines.evaluation.report import table
from pipelines.samples import save_grid
from pipelines.training.checkpoint import open_checkpoint
from vq import VQGAN, psnr

EUCLIDEAN = "model.codebook_distance=euclidean"
GRADIENT = "model.codebook_update=gradient"
RANDOM_START = "model.codebook_start=random"
NO_REVIVAL = "model.revive_after_steps=0"
ARMS = {
    "as configured": (),
    "euclidean codes": (EUCLIDEAN,),
    "codes follow the gradient": (GRADIENT,),
    "codes start at random": (RANDOM_START,),
    "no revival": (NO_REVIVAL,),
    "random start, no revival": (RANDOM_START, NO_REVIVAL),
    "all four: the first VQ-VAE": (EUCLIDEAN, GRADIENT, RANDOM_START, NO_REVIVAL),
    "Gumbel-softmax (dVAE)": (
        "model.quantizer=gumbel",
        "objective.kl_weight=0.005",
        "objective.kl_warmup_steps=0",
        "training.optimizer.learning_rate=1.0e-3",
    ),
    "with a discriminator": (
        "objective.adversarial_weight=0.8",
        "discriminator.base_channels=32",
        "discriminator.layers=2",
    ),
}
PICTURES = 256
SHOWN = 12


def validation_pixels(config: TokenizerRun) -> torch.Tensor:
    """The first validation pictures [n, 3, h, w]."""
    _, validation = open_training_sources(config.data, need_text=False, seed=config.seed)
    rows = range(min(PICTURES, validation.length or PICTURES))
    arrays = [to_array(validation[row].image, config.data.height_width) for row in rows]
    return arrays_to_pixels(np.stack(arrays))


@torch.no_grad()
def measure(tokenizer: VQGAN, pixels: torch.Tensor) -> tuple[dict[str, float], torch.Tensor]:
    """The figures of a tokenizer, and its first reconstructions."""
    parts = [tokenizer.encode_to_ids(some) for some in pixels.split(64)]
    again = torch.cat([tokenizer.decode_ids(ids) for ids in parts])
    ids = torch.cat(parts).flatten()
    share = torch.bincount(ids, minlength=tokenizer.config.codebook_size) / len(ids)
    entropy = -torch.special.xlogy(share, share).sum()
    figures = {
        "psnr": psnr(again, pixels).mean().item(),
        "codes_used": int((share > 0).sum()),
        "perplexity": entropy.exp().item(),
    }
    return figures, again[:SHOWN]


@command
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train a tokenizer with and without each choice.")
    parser.add_argument("--config", required=True, metavar="YAML")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--output", required=True, metavar="DIR", help="a new or empty folder")
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    arguments = parser.parse_intermixed_args(argv)
    folder = open_output(arguments.output)
    fixed = [*arguments.overrides, f"training.steps={arguments.steps}", "training.minutes=null"]
    fixed += ["training.sample_every=0", "training.trackers=[]"]
    fixed += [f"objective.temperature_steps={arguments.steps * 3 // 4}"]
    pixels = validation_pixels(
        load_configuration(arguments.config, [*fixed, "output=unused"], TokenizerRun)
    )
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads", flush=True)
    rows, shown = [], [pixels[:SHOWN]]
    for number, (name, changes) in enumerate(ARMS.items()):
        output = folder / f"arm_{number}"
        start = time.perf_counter()
        overrides = [*fixed, *changes, f"output={output}"]
        train_tokenizer.main(["--config", arguments.config, *overrides])
        seconds = time.perf_counter() - start
        tokenizer = VQGAN.from_pretrained(open_checkpoint(output, "tokenizer").tokenizer).eval()
        figures, again = measure(tokenizer, pixels)
        rows.append({"arm": name, **figures, "seconds": seconds})
        shown.append(again)
        (folder / "choices.json").write_text(json.dumps(rows, indent=2) + "\n")
    save_grid(folder / "choices.png", shown)
    body = [
        (
            row["arm"],
            f"{row['psnr']:.2f}",
            str(row["codes_used"]),
            f"{row['perplexity']:.0f}",
            f"{row['seconds']:.0f}",
        )
        for row in rows
    ]
    print(table([("arm", "PSNR, dB", "codes in use", "perplexity", "seconds"), *body]))


if __name__ == "__main__":
    main()
