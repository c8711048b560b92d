"""Trains a one-stage GAN: texts, or noise alone, to pictures.

    accelerate launch pipelines/train_gan.py --config configs/gan/tiny.yaml

`key=value` overrides may follow.
"""

from pipelines.command_line import command, device_and_dtype
from pipelines.configuration.assembly import (
    gan_task,
    refuse_another,
    refuse_other_players,
    text_encoder_run,
)
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import GANRun
from pipelines.text_encoding import load_text_encoder, load_text_reading
from pipelines.train_dual_encoder import train_dual_encoder
from pipelines.training.command_arguments import parse_arguments
from pipelines.training.distributed import Processes, started_by_deepspeed
from pipelines.training.metrics import check_trackers
from pipelines.training.run_folder import RunFolder, open_run_folder
from pipelines.training.trainer import Trainer


def train_gan(config: GANRun, processes: Processes, resume: bool = False) -> bool:
    """One run, into `config.output`; returns whether it is complete (and not stopped early)."""
    check_trackers(config.training.trackers)
    if started_by_deepspeed():
        processes.log("Training without DeepSpeed, whose engine drives a single model.")
    folder = processes.on_main(lambda: open_run_folder(config.output, resume))
    if resume:
        processes.on_main(lambda: refuse_other_players(config, folder.path))
    source = _text_encoder(config, folder, processes)
    if config.text and source is None:
        return False
    texts = None
    if source is not None:
        texts = processes.together(lambda: load_text_reading(source, config.text_positions))
        if resume and not config.train_text_encoder:
            own = texts.encoder
            processes.on_main(
                lambda: refuse_another(folder, "text_encoder", load_text_encoder, own, source)
            )
    task = gan_task(config, processes, texts)
    trainer = Trainer(task, config.training, folder, processes, config.seed)
    complete = trainer.train(resume)
    if complete:
        processes.log(f"The GAN is in {folder.checkpoint}.")
    return complete


def _text_encoder(config: GANRun, folder: RunFolder, processes: Processes) -> str | None:
    """The one to use, trained here first if need be; None if that was stopped, or there is none."""
    if config.text_encoder_config is None:
        return config.text_encoder
    output = folder.path / "text_encoder"
    run = text_encoder_run(config, config.text_encoder_config, output)
    processes.log(f"Training the text encoder first, into {output}.")
    if not train_dual_encoder(run, processes, resume=processes.on_main(output.exists)):
        return None
    return str(output)


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv, __doc__)
    config = load_configuration(arguments.config, arguments.overrides, GANRun)
    device, _ = device_and_dtype(arguments.device)
    with Processes(device) as processes:
        train_gan(config, processes, arguments.resume)


if __name__ == "__main__":
    main()
