"""Gives a GAN a style encoder: pictures to the noise that they could have been drawn from.

    accelerate launch pipelines/train_style_encoder.py --config configs/gan/style_encoder.yaml \\
        gan=CHECKPOINT

`key=value` overrides may follow. `generate_images.py --style-image IMAGE` then draws in the style
of a picture.
"""

from pipelines.command_line import UserError, command, device_and_dtype
from pipelines.configuration.assembly import style_encoder_task
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import StyleEncoderRun
from pipelines.gan_pipeline import GANPipeline
from pipelines.model_loading import load_generator, same_weights
from pipelines.training.command_arguments import parse_arguments
from pipelines.training.distributed import Processes
from pipelines.training.metrics import check_trackers
from pipelines.training.run_folder import RunFolder, open_run_folder
from pipelines.training.trainer import Trainer


def train_style_encoder(
    config: StyleEncoderRun, processes: Processes, resume: bool = False
) -> bool:
    """One run, into `config.output`; returns whether it is complete (and not stopped early)."""
    check_trackers(config.training.trackers)
    folder = processes.on_main(lambda: open_run_folder(config.output, resume))
    device = str(processes.device) if processes.device.type != "cpu" else "cpu"
    gan = processes.together(lambda: GANPipeline.from_pretrained(config.gan, device, "fp32"))
    if resume:
        processes.on_main(lambda: _refuse_another_gan(folder, config.gan, gan))
    task = style_encoder_task(config, processes, gan)
    trainer = Trainer(task, config.training, folder, processes, config.seed)
    complete = trainer.train(resume)
    if complete:
        processes.log(f"The GAN with its style encoder is in {folder.checkpoint}.")
    return complete


def _refuse_another_gan(folder: RunFolder, source: str, gan: GANPipeline) -> None:
    """The noise of one GAN's pictures means nothing to another.

    Raises:
        UserError: it is another one than that of the run's checkpoint.
    """
    kept = folder.checkpoint / "generator"
    if kept.is_dir() and not same_weights(load_generator(kept), gan.generator):
        raise UserError(
            f"{folder.path} was trained with another GAN than {source}; resume with that one, or "
            "train anew into another folder."
        )


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv, "Train the style encoder of a GAN.")
    config = load_configuration(arguments.config, arguments.overrides, StyleEncoderRun)
    device, _ = device_and_dtype(arguments.device)
    with Processes(device) as processes:
        train_style_encoder(config, processes, arguments.resume)


if __name__ == "__main__":
    main()
