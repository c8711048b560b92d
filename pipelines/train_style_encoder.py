"""Gives a GAN a style encoder: pictures to the noise that they could have been drawn from.

    accelerate launch pipelines/train_style_encoder.py --config configs/gan/style_encoder.yaml \\
        gan=CHECKPOINT

`key=value` overrides may follow. `generate_images.py --style-image IMAGE` then draws in the style
of a picture.
"""

from pipelines.command_line import command, device_and_dtype
from pipelines.configuration.assembly import refuse_another, style_encoder_task
from pipelines.configuration.loading import load_configuration
from pipelines.configuration.schemas import StyleEncoderRun
from pipelines.gan_pipeline import GANPipeline
from pipelines.model_loading import load_generator
from pipelines.training.command_arguments import parse_arguments
from pipelines.training.distributed import Processes
from pipelines.training.metrics import check_trackers
from pipelines.training.run_folder import open_run_folder
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
        own = gan.generator  # the noise of one GAN's pictures means nothing to another
        processes.on_main(
            lambda: refuse_another(folder, "generator", load_generator, own, config.gan)
        )
    task = style_encoder_task(config, processes, gan)
    trainer = Trainer(task, config.training, folder, processes, config.seed)
    complete = trainer.train(resume)
    if complete:
        processes.log(f"The GAN with its style encoder is in {folder.checkpoint}.")
    return complete


@command
def main(argv: list[str] | None = None) -> None:
    arguments = parse_arguments(argv, __doc__)
    config = load_configuration(arguments.config, arguments.overrides, StyleEncoderRun)
    device, _ = device_and_dtype(arguments.device)
    with Processes(device) as processes:
        train_style_encoder(config, processes, arguments.resume)


if __name__ == "__main__":
    main()
