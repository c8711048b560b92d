"""Trains a VQGAN: pixels <-> ids.

    accelerate launch pipelines/train_tokenizer.py --config configs/tokenizer/tiny.yaml

`key=value` overrides may follow.
"""

from pipelines.command_line import UserError, command, device_and_dtype
from pipelines.configuration.assembly import tokenizer_task
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import TokenizerRun
from pipelines.configuration.schemas.checks import NO_DEEPSPEED
from pipelines.training.command_arguments import parse_arguments
from pipelines.training.distributed import Processes, started_by_deepspeed
from pipelines.training.metrics import check_trackers
from pipelines.training.run_folder import open_run_folder
from pipelines.training.trainer import Trainer


def train_tokenizer(config: TokenizerRun, processes: Processes, resume: bool = False) -> bool:
    """One run, into `config.output`; returns whether it is complete (and not stopped early)."""
    check_trackers(config.training.trackers)
    folder = processes.on_main(lambda: open_run_folder(config.output, resume))
    task = tokenizer_task(config, processes)
    trainer = Trainer(task, config.training, folder, processes, config.seed)
    complete = trainer.train(resume)
    if complete:
        processes.log(f"The tokenizer is in {folder.checkpoint}.")
    return complete


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv, __doc__)
    if started_by_deepspeed():
        raise UserError(f"the deepspeed launcher started this script, but {NO_DEEPSPEED}")
    config = load_configuration(arguments.config, arguments.overrides, TokenizerRun)
    device, _ = device_and_dtype(arguments.device)
    with Processes(device) as processes:
        train_tokenizer(config, processes, arguments.resume)


if __name__ == "__main__":
    main()
