"""Ten steps of both real stages; run as a script, one process of several.

RANK=0 WORLD_SIZE=2 … python real_runs.py FOLDER TOKENIZER
"""

import sys
from pathlib import Path

import torch
from launching import ASKING, PAINTING
from safetensors.torch import save_file

from pipelines.configuration.assembly import bidirectional_task, run_text_tokenizer, tokenizer_task
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import BidirectionalRun, TokenizerRun
from pipelines.training.checkpoint import open_checkpoint
from pipelines.training.distributed import Processes
from pipelines.training.run_folder import open_run_folder
from pipelines.training.trainer import Trainer

TRAINING = [
    "training.steps=10",
    "training.batch_size=8",
    "training.micro_batch_size=2",
    "training.log_every=1",
    "training.trackers=[]",
    "training.sample_every=0",
    "training.validate_every=5",
    "training.validation_batches=2",
    "training.optimizer.warmup_steps=2",
    "training.optimizer.learning_rate=1e-4",
]
TOKENIZER = [
    # With the usual 1e-8, Adam's first steps make whole steps of rounding errors wherever a
    # gradient is (almost) zero, and ten steps are no longer comparable.
    "training.optimizer.epsilon=1e-5",
    # Codes that start as the first batch's vectors have near twins, between which rounding chooses;
    # and where a plain background meets its target, the gradient of L1 jumps in a thousand pixels.
    "model.codebook_start=random",
    "objective.l1_weight=0",
    "objective.adversarial_weight=0.5",
    "discriminator.base_channels=8",
    "discriminator.layers=2",
]


def tokenizer_trainer(folder: Path, processes: Processes, resume: bool = False) -> Trainer:
    config = load_configuration(
        "tokenizer/tiny.yaml", [f"output={folder}", *TRAINING, *TOKENIZER], TokenizerRun
    )
    run = processes.on_main(lambda: open_run_folder(config.output, resume))
    task = tokenizer_task(config, processes)
    return Trainer(task, config.training, run, processes, config.seed)


def bidirectional_trainer(
    folder: Path, tokenizer: Path, processes: Processes, resume: bool = False, *changes: str
) -> Trainer:
    overrides = [f"output={folder}", f"tokenizer={tokenizer}", *TRAINING, *changes]
    config = load_configuration("bidirectional/tiny.yaml", overrides, BidirectionalRun)
    run = processes.on_main(lambda: open_run_folder(config.output, resume))
    text_tokenizer = run_text_tokenizer(config, processes, folder)
    paths = open_checkpoint(tokenizer, "tokenizer")
    task = bidirectional_task(config, processes, paths, text_tokenizer)
    return Trainer(task, config.training, run, processes, config.seed)


def keep_gradients(trainer: Trainer, file: Path) -> None:
    """Trains, and writes every player's averaged gradient of the first step into `file`."""
    kept = {}
    for name, player in trainer.parts.players.items():

        def step(number, progress, name=name, player=player, take=player.step):
            norm = take(number, progress)
            if number == 0:
                for key, parameter in player.module.named_parameters():
                    kept[f"{name}.{key}"] = parameter.grad.clone().contiguous()
            return norm

        player.step = step
    trainer.train(resume=False)
    if trainer.processes.is_main:
        save_file(kept, file)


def run_both(folder: Path, tokenizer: Path, processes: Processes) -> None:
    """Both stages into `folder`, the second one over the ids of `tokenizer`."""
    keep_gradients(
        tokenizer_trainer(folder / "tokenizer", processes), folder / "tokenizer.safetensors"
    )
    keep_gradients(
        bidirectional_trainer(folder / "bidirectional", tokenizer, processes),
        folder / "bidirectional.safetensors",
    )
    muon = bidirectional_trainer(
        folder / "muon", tokenizer, processes, False, "training.optimizer.name=muon", *ASKING
    )
    keep_gradients(muon, folder / "muon.safetensors")
    painting = bidirectional_trainer(
        folder / "end_to_end", tokenizer, processes, False, *PAINTING, *ASKING
    )
    keep_gradients(painting, folder / "end_to_end.safetensors")


if __name__ == "__main__":
    torch.set_num_threads(1)
    with Processes(torch.device("cpu")) as both:
        run_both(Path(sys.argv[1]), Path(sys.argv[2]), both)
