"""Trains the transformer in both directions over a tokenizer's ids.

    deepspeed pipelines/train_bidirectional.py --config configs/bidirectional/tiny.yaml

`key=value` overrides may follow. Started by anything else (accelerate launch, torchrun, python),
the same run does without DeepSpeed.
"""

from dataclasses import replace
from typing import Any

from pipelines.command_line import UserError, command, device_and_dtype
from pipelines.configuration.assembly import (
    bidirectional_task,
    refuse_another,
    refuse_another_model,
    run_text_tokenizer,
)
from pipelines.configuration.loading import find_configuration, load_configuration
from pipelines.configuration.schemas import BidirectionalRun, TokenizerRun
from pipelines.model_loading import load_tokenizer
from pipelines.train_tokenizer import train_tokenizer
from pipelines.training.checkpoint import CheckpointPaths, open_checkpoint
from pipelines.training.command_arguments import parse_arguments
from pipelines.training.deepspeed_configuration import engine_configuration
from pipelines.training.distributed import Processes, started_by_deepspeed
from pipelines.training.metrics import check_trackers
from pipelines.training.run_folder import RunFolder, open_run_folder
from pipelines.training.trainer import Trainer


def train_bidirectional(
    config: BidirectionalRun, processes: Processes, resume: bool = False
) -> bool:
    """One run, into `config.output`; returns whether it is complete (and not stopped early)."""
    check_trackers(config.training.trackers)
    deepspeed = _deepspeed(config, processes)
    folder = processes.on_main(lambda: open_run_folder(config.output, resume))
    tokenizer = _tokenizer(config, folder, processes)
    if tokenizer is None:
        return False
    if resume:
        processes.on_main(lambda: _refuse_another_tokenizer(folder, tokenizer))
        processes.on_main(lambda: refuse_another_model(config, folder.path))
    start = tokenizer if tokenizer.kind == "bidirectional" else None
    text_tokenizer = run_text_tokenizer(config, processes, folder.path, start)
    task = bidirectional_task(config, processes, tokenizer, text_tokenizer, deepspeed)
    trainer = Trainer(task, config.training, folder, processes, config.seed, deepspeed)
    complete = trainer.train(resume)
    if complete:
        processes.log(f"The checkpoint is in {folder.checkpoint}.")
    return complete


def _tokenizer(
    config: BidirectionalRun, folder: RunFolder, processes: Processes
) -> CheckpointPaths | None:
    """The tokenizer to use, trained here first if need be; None if that was stopped."""
    if config.initialize_from is not None:
        start = config.initialize_from
        return processes.together(lambda: open_checkpoint(start, "bidirectional"))
    if config.tokenizer is not None:
        given = config.tokenizer
        return processes.together(lambda: open_checkpoint(given, "tokenizer"))
    assert config.tokenizer_config is not None
    output = folder.path / "tokenizer"
    run = load_configuration(config.tokenizer_config, [f"output={output}"], TokenizerRun)
    run = replace(run, seed=config.seed)
    processes.log(f"Training the tokenizer first, into {output}.")
    if not train_tokenizer(run, processes, resume=processes.on_main(output.exists)):
        return None
    return open_checkpoint(output, "tokenizer")


def _refuse_another_tokenizer(folder: RunFolder, tokenizer: CheckpointPaths) -> None:
    own = load_tokenizer(tokenizer.tokenizer)
    refuse_another(folder, "tokenizer", load_tokenizer, own, tokenizer.root)


def _deepspeed(config: BidirectionalRun, processes: Processes) -> dict[str, Any] | None:
    """DeepSpeed's configuration, where this run uses it."""
    if config.deepspeed is None:
        if started_by_deepspeed():
            processes.log(
                "Training without DeepSpeed: the configuration names no deepspeed=FILE.json for "
                "its launcher."
            )
        return None
    if not started_by_deepspeed():
        processes.log(
            f"Training without DeepSpeed ({config.deepspeed} is for the deepspeed launcher)."
        )
        return None
    file = config.deepspeed
    return processes.on_main(
        lambda: engine_configuration(find_configuration(file), config.training, processes.count)
    )


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv, __doc__)
    config = load_configuration(arguments.config, arguments.overrides, BidirectionalRun)
    device, _ = device_and_dtype(arguments.device)
    if config.model.attention_implementation == "flex" and device.type != "cuda":
        raise UserError(
            f"model.attention_implementation is flex, which cannot train on {device.type}; "
            "choose auto, blockwise or dense, or a CUDA device."
        )
    with Processes(device) as processes:
        train_bidirectional(config, processes, arguments.resume)


if __name__ == "__main__":
    main()
