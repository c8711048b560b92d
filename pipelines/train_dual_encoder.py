"""Trains a dual encoder: pictures and captions into one space, to measure and to choose with.

    accelerate launch pipelines/train_dual_encoder.py --config configs/dual_encoder/tiny.yaml

`key=value` overrides may follow.
"""

from pipelines.command_line import command, device_and_dtype
from pipelines.configuration.assembly import dual_encoder_task, run_text_tokenizer
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import DualEncoderRun
from pipelines.training.command_arguments import parse_arguments
from pipelines.training.distributed import Processes, started_by_deepspeed
from pipelines.training.metrics import check_trackers
from pipelines.training.run_folder import open_run_folder
from pipelines.training.trainer import Trainer


def train_dual_encoder(config: DualEncoderRun, processes: Processes, resume: bool = False) -> bool:
    """One run, into `config.output`; returns whether it is complete (and not stopped early)."""
    check_trackers(config.training.trackers)
    if started_by_deepspeed():
        processes.log("Training without DeepSpeed, which a model of this size has no use for.")
    folder = processes.on_main(lambda: open_run_folder(config.output, resume))
    text_tokenizer = run_text_tokenizer(config, processes, folder.path)
    task = dual_encoder_task(config, processes, text_tokenizer)
    trainer = Trainer(task, config.training, folder, processes, config.seed)
    complete = trainer.train(resume)
    if complete:
        processes.log(f"The dual encoder is in {folder.checkpoint}.")
    return complete


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv, __doc__)
    config = load_configuration(arguments.config, arguments.overrides, DualEncoderRun)
    device, _ = device_and_dtype(arguments.device)
    with Processes(device) as processes:
        train_dual_encoder(config, processes, arguments.resume)


if __name__ == "__main__":
    main()
