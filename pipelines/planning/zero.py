"""What a DeepSpeed JSON divides and where it puts it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipelines.command_line import UserError
from pipelines.training.deepspeed_configuration import read_deepspeed_json


@dataclass(frozen=True)
class Division:
    """How weights, gradients and optimizer state are spread over processes.

    Attributes:
        stage: of ZeRO; 0 is plain data parallelism, each process holding everything.
        offload_optimizer, offload_parameters: kept in the host's memory.
        deepspeed: whether an engine runs, with buffers of its own.
        bucket: gradients reduced at a time.
        buckets: how many of these there are.
        gathered: parameters that are whole at a time in stage 3.
        sub_group: parameters stepped at a time in stage 3.
    """

    stage: int = 0
    offload_optimizer: bool = False
    offload_parameters: bool = False
    deepspeed: bool = False
    # DeepSpeed's defaults (deepspeed/runtime/zero/config.py of 0.19).
    bucket: int = 500_000_000
    buckets: int = 1
    gathered: int = 1_000_000_000
    sub_group: int = 1_000_000_000

    @property
    def name(self) -> str:
        if not self.deepspeed:
            return "data parallel"
        offloaded = {"optimizer": self.offload_optimizer, "params": self.offload_parameters}
        off = "+".join(name for name, there in offloaded.items() if there)
        return f"ZeRO {self.stage}" + (f", {off} off" if off else "")


COLUMNS = (
    Division(),
    Division(stage=1, deepspeed=True),
    Division(stage=2, deepspeed=True),
    Division(stage=2, deepspeed=True, offload_optimizer=True),
    Division(stage=3, deepspeed=True),
    Division(stage=3, deepspeed=True, offload_optimizer=True),
    Division(stage=3, deepspeed=True, offload_optimizer=True, offload_parameters=True),
)
"""What a plan compares."""


def columns(configured: Division) -> tuple[Division, ...]:
    """`COLUMNS` with the buffers of the run's own division, which is one of them or comes last."""
    own = {"bucket", "buckets", "gathered", "sub_group"}
    buffers = {name: getattr(configured, name) for name in own}
    compared = tuple(replace(column, **buffers) for column in COLUMNS)
    return compared if configured in compared else (*compared, configured)


def read_division(file: Path) -> Division:
    """From a DeepSpeed JSON; "auto" is its default.

    Raises:
        UserError: it cannot be read, or a value in it makes no sense.
    """
    zero = read_deepspeed_json(file).get("zero_optimization", {})
    if not isinstance(zero, dict):
        raise UserError(f"deepspeed={file} is not a configuration; see configs/deepspeed.")
    plain = Division()
    return Division(
        stage=_number(zero, "stage", 0, file),
        offload_optimizer=_offloaded(zero, "offload_optimizer"),
        offload_parameters=_offloaded(zero, "offload_param"),
        deepspeed=True,
        bucket=_number(zero, "reduce_bucket_size", plain.bucket, file),
        # Stages 1 and 2 have a second one where reducing runs beside the backward pass.
        buckets=2 if zero.get("overlap_comm") is True and zero.get("stage") != 3 else 1,
        gathered=_number(zero, "stage3_max_live_parameters", plain.gathered, file),
        sub_group=_number(zero, "sub_group_size", plain.sub_group, file),
    )


def _number(zero: dict[str, Any], key: str, default: int, file: Path) -> int:
    value = zero.get(key, default)
    if value == "auto":
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise UserError(f"{file} has {key} {value!r}; it must be a number, or auto.")
    return int(value)


def _offloaded(zero: dict[str, Any], key: str) -> bool:
    section = zero.get(key)
    return isinstance(section, dict) and section.get("device") in ("cpu", "nvme")
