"""What several schemas refuse."""

from gan import ContrastSettings
from pipelines.training.settings import TrainingSettings
from vq import ReconstructionSettings

NO_DEEPSPEED = (
    "this trains without DeepSpeed, because a generator and a discriminator take turns and an "
    "engine drives a single model; start it with accelerate launch or plain python."
)


def check_no_deepspeed(deepspeed: str | None) -> None:
    """Raises:
    ValueError: a configuration for DeepSpeed is named.
    """
    if deepspeed is not None:
        raise ValueError(f"deepspeed is {deepspeed}; {NO_DEEPSPEED}")


def check_whole_batches(training: TrainingSettings, what: str) -> None:
    """Raises:
    ValueError: a batch is to be cut up, and `what` of it are compared with each other.
    """
    if training.micro_batch_size is not None:
        raise ValueError(
            f"training.micro_batch_size is {training.micro_batch_size}, but {what} of a batch are "
            "compared with each other; set it to null, and a smaller training.batch_size where "
            "memory is short."
        )


def check_plain_steps(training: TrainingSettings, why: str) -> None:
    """Raises:
    ValueError: a step is to be compiled or to keep less in memory, which `why` forbids.
    """
    for name in ("compile", "activation_checkpointing"):
        if getattr(training, name):
            raise ValueError(f"training.{name} is not for {why}; set it to false.")


def check_contrasts(
    contrasts: ContrastSettings,
    settings: ReconstructionSettings,
    section: str,
    training: TrainingSettings,
) -> None:
    """Raises:
    ValueError: pictures are to be compared in features that nothing teaches, or a compiled
        discriminator is asked for more than it gives.
    """
    if contrasts.used == ["real_fake_weight"] and settings.adversarial_weight == 0:
        raise ValueError(
            "contrasts.real_fake_weight is above 0, which compares pictures in the "
            "discriminator's features, and nothing teaches it these; raise "
            f"{section}.adversarial_weight or another weight of contrasts as well, or set it to 0."
        )
    if contrasts.used and settings.adversarial_weight > 0 and training.compile:
        raise ValueError(
            f"training.compile is true, and contrasts beside {section}.adversarial_weight take two "
            "gradients of one pass of the discriminator, which a compiled one does not give; set "
            "one of the three to false or 0."
        )
