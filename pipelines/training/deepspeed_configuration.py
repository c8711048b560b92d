"""DeepSpeed's configuration: a JSON of configs/deepspeed, filled in from our own."""

import json
from pathlib import Path
from typing import Any

from pipelines.command_line import UserError
from pipelines.training.settings import TrainingSettings

# 1 divides the optimizer's state between processes, 2 the gradients too, 3 the weights too.
STAGES = (1, 2, 3)
OURS = {
    "optimizer": "training.optimizer",
    "scheduler": "training.optimizer.schedule",
    "fp16": "training.precision",
    "bf16": "training.precision",
    "amp": "training.precision",
    "activation_checkpointing": "training.activation_checkpointing",
}
"""Sections of DeepSpeed's that say what our own configuration says."""
UNSUPPORTED: dict[str, Any] = {
    "zero_hpz_partition_size": 1,
    "zero_quantized_weights": False,
    "zero_quantized_nontrainable_weights": False,
    "zero_quantized_gradients": False,
    "zenflow": None,
}
"""Of ZeRO's, and what turns it off: with copies of shares, or numbers other than fp32, averages and
states would not be those of what is trained."""


def engine_configuration(
    json_file: Path, training: TrainingSettings, processes: int
) -> dict[str, Any]:
    """DeepSpeed's configuration: the JSON, with what our own configuration decides filled in.

    Raises:
        UserError: the JSON cannot be read, or contradicts the configuration; or the optimizer is
            one that DeepSpeed cannot divide.
    """
    if training.optimizer.name != "adamw":
        raise UserError(
            f"training.optimizer.name is {training.optimizer.name}, whose update needs whole "
            "matrices, and DeepSpeed divides them; set training.optimizer.name=adamw."
        )
    if training.precision == "fp16":
        raise UserError(
            "training.precision is fp16, whose loss scale DeepSpeed keeps to itself; set "
            "training.precision=bf16, or train without DeepSpeed."
        )
    config = read_deepspeed_json(json_file)
    stage = _check_zero(json_file, config)
    if stage == 3 and training.compile:
        raise UserError(
            "training.compile is on, but under ZeRO 3 the weights come and go between the modules "
            f"of what would be compiled; set training.compile=false, or take another {json_file}."
        )
    for section, key in OURS.items():
        if section in config:
            raise UserError(f"{json_file} has a section {section!r}; remove it and set {key}.")
    try:
        micro_batch_size, accumulation = training.divide_batch(processes)
    except ValueError as error:
        raise UserError(f"training.{error}") from None
    ours = {
        "train_batch_size": training.batch_size,
        "train_micro_batch_size_per_gpu": micro_batch_size,
        "gradient_accumulation_steps": accumulation,
        "gradient_clipping": training.optimizer.gradient_clipping or 0.0,
    }
    for key, value in ours.items():
        if config.get(key, "auto") not in ("auto", value):
            raise UserError(
                f"{json_file} sets {key} to {config[key]}, but the configuration means {value}; "
                'write "auto" there.'
            )
    autocast = {
        "enabled": training.precision == "bf16",
        "dtype": "bfloat16",
        # Gradients are summed over processes in fp32.
        "lower_precision_safe_modules": [],
    }
    # torch's fused AdamW steps on a CPU as well; DeepSpeed's own would have to be compiled first.
    return config | ours | {"torch_autocast": autocast, "zero_force_ds_cpu_optimizer": False}


def divides_weights(config: dict[str, Any]) -> bool:
    """Whether an engine of this configuration leaves each process its share of every weight."""
    return config["zero_optimization"]["stage"] == 3


def read_deepspeed_json(json_file: Path) -> dict[str, Any]:
    """Raises:
    UserError: it cannot be read, or is no JSON object.
    """
    try:
        config = json.loads(json_file.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"deepspeed={json_file} cannot be read as JSON ({error}).") from None
    if not isinstance(config, dict):
        raise UserError(f"deepspeed={json_file} is not a JSON object; see configs/deepspeed.")
    return config


def _check_zero(json_file: Path, config: dict[str, Any]) -> int:
    """The stage of a section `zero_optimization` that we can train with."""
    section = config.get("zero_optimization")
    stage = section.get("stage") if isinstance(section, dict) else None
    if not isinstance(section, dict) or type(stage) is not int or stage not in STAGES:
        raise UserError(
            f"{json_file} asks for ZeRO stage {json.dumps(stage)}; set zero_optimization.stage "
            "to 1, 2 or 3 (without any, leave deepspeed= out)."
        )
    zero = _parsed(json_file, section)
    for key, off in UNSUPPORTED.items():
        if getattr(zero, key) != off:
            raise UserError(f"{json_file} sets {key}, which is not supported; remove it.")
    for key in ("offload_optimizer", "offload_param"):
        offload = getattr(zero, key)
        if offload is None:
            continue
        if offload.device == "nvme":
            raise UserError(
                f"{json_file} sets {key}.device to nvme, which is not supported; set it to cpu."
            )
        if key == "offload_param" and stage < 3:
            raise UserError(
                f"{json_file} has offload_param under ZeRO {stage}, which leaves the weights with "
                "every process; set zero_optimization.stage to 3, or remove it."
            )
        if getattr(offload, "ratio", 1.0) != 1 or getattr(offload, "super_offload", False):
            raise UserError(
                f"{json_file} sets {key}.ratio or super_offload, which are for an optimizer of "
                "DeepSpeed's own; remove them."
            )
    return stage


def _parsed(json_file: Path, section: dict[str, Any]) -> Any:
    from deepspeed.runtime.zero.config import DeepSpeedZeroConfig
    from pydantic import ValidationError

    try:
        return DeepSpeedZeroConfig(**section)
    except ValidationError as error:
        wrong = error.errors()[0]
        name = ".".join(map(str, ("zero_optimization", *wrong["loc"])))
        raise UserError(f"{json_file}: {name}: {wrong['msg']}.") from None
