"""A plan as a page of text."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.planning.duration import Duration
from pipelines.planning.memory import ProcessMemory
from pipelines.planning.operations import SampleFlops
from pipelines.planning.workload import Parameters, Workload
from pipelines.planning.zero import Division
from pipelines.training.utilisation import GPU
from unified_transformer.flops import positions

GIB = 2**30
FREE = 0.1
"""Of a GPU, for what is not counted: the CUDA context, NCCL, gaps of the allocator."""
DAY = 24 * 3600


@dataclass(frozen=True)
class Machine:
    """What a run is planned for."""

    gpu: GPU
    gpus: int
    gpus_per_node: int
    utilisation: float


@dataclass(frozen=True)
class Column:
    """One division of the states; `other` is with activation checkpointing switched over."""

    division: Division
    memory: ProcessMemory
    other: ProcessMemory
    configured: bool


def model_lines(workload: Workload, parameters: Parameters) -> list[str]:
    """What is trained."""
    config = workload.transformer
    height, width = config.grid
    return [
        f"{config.num_hidden_layers} layers of {config.hidden_size}, "
        f"{config.num_attention_heads} heads; {workload.text_length} text positions, [BOI], "
        f"{height} x {width} ids of {config.image_vocab_size}",
        f"tokenizer: {workload.tokenizer_from}",
        "",
        "Parameters",
        *(_row(name, [_short(count)]) for name, count in parameters.parts.items()),
        _row("trained", [_short(parameters.trained)]),
        _row("tokenizer, frozen", [_short(parameters.tokenizer)]),
    ]


def operation_lines(workload: Workload, flops: SampleFlops) -> list[str]:
    """Tokens (padding among them) and operations, of a sample and of a step."""
    batch = workload.config.training.batch_size
    length = positions(workload.transformer, workload.text_length)
    both = length * len(workload.tasks)
    of_task = {
        "text_to_image": workload.transformer.image_positions,
        "image_to_text": workload.text_length - 1,
        "question_answering": workload.text_length - 1,
    }
    targets = sum(of_task[name] for name in workload.tasks)
    rows = {
        "tokens, every task": (both, _count),
        "  targets in them": (targets, _count),
        "model, visible pairs": (flops.model, _short),
        "  attention in it": (flops.attention, _short),
        "  reconstruction in it": (flops.reconstruction, _short),
        "model, every pair": (flops.dense, _short),
        "computed again": (flops.recomputed, _short),
        "tokenizer's encoding": (flops.encoding, _short),
    }
    return [
        "",
        "Operations (FLOP), forward and backward",
        _row("", ["a sample", f"all {batch}"]),
        *(
            _row(name, [form(value), form(value * batch)])
            for name, (value, form) in rows.items()
            if value
        ),
    ]


TERMS = {
    "weights": lambda memory: memory.states.weights,
    "copy of the share": lambda memory: memory.states.master,
    "gradients": lambda memory: memory.states.gradients,
    "optimizer's moments": lambda memory: memory.states.moments,
    "moving average": lambda memory: memory.states.average,
    "DeepSpeed's buffers": lambda memory: memory.states.buffers,
    "activations": lambda memory: memory.step.activations,
    "casts of weights": lambda memory: memory.step.casts,
    "gradients that wait": lambda memory: memory.step.waiting,
    "output heads, logits": lambda memory: memory.step.logits,
    "working space": lambda memory: memory.step.working,
    "tokenizer, pictures": lambda memory: memory.other,
    "step or encoding": lambda memory: memory.passing,
}


def memory_lines(workload: Workload, machine: Machine, columns: Sequence[Column]) -> list[str]:
    """Every term under every division."""
    training = workload.config.training
    samples, accumulation = training.divide_batch(machine.gpus)
    checkpointing = training.activation_checkpointing
    lines = [
        "",
        f"Memory of each of {machine.gpus} GPUs in GiB, {accumulation} x {samples} samples a step, "
        f"{training.precision}, activation checkpointing {'on' if checkpointing else 'off'}",
        *_headings(columns),
    ]
    for name, term in TERMS.items():
        values = [term(column.memory) for column in columns]
        if any(values):
            lines.append(_row(name, [_gib(value) for value in values]))
    most = (1 - FREE) * machine.gpu.gib * GIB
    lines += [
        _row("in all", [_gib(column.memory.device) for column in columns]),
        _row(
            f"fits {machine.gpu.name}, {machine.gpu.gib} GiB",
            ["yes" if column.memory.device <= most else "no" for column in columns],
        ),
        _row(
            f"checkpointing {'off' if checkpointing else 'on'}",
            [_gib(column.other.device) for column in columns],
        ),
    ]
    hosts = [column.memory.states.host * machine.gpus_per_node for column in columns]
    if any(hosts):
        name = f"host, {machine.gpus_per_node} GPUs a node"
        lines.append(_row(name, [_gib(value) for value in hosts]))
    lines.append(
        f"* the run's own. It fits where {FREE:.0%} stay free for what is not counted: CUDA, NCCL, "
        "gaps."
    )
    return lines


def duration_lines(
    workload: Workload,
    machine: Machine,
    duration: Duration,
    peak: float,
    pairs: int | None,
) -> list[str]:
    """Seconds a step, days a run, days a pass over `pairs`."""
    training = workload.config.training
    batch, length = training.batch_size, positions(workload.transformer, workload.text_length)
    tokens = length * len(workload.tasks)
    samples_per_second = batch / duration.seconds
    lines = [
        "",
        f"Time on {machine.gpus} x {machine.gpu.name}, if the model has {machine.utilisation:.0%} "
        f"of their {peak / 1e12:g} TFLOP/s in {training.precision}",
        _row("seconds a step", [f"{duration.seconds:.3g}"]),
        _row("  encoding in it", [f"{duration.encoding_seconds:.3g}"]),
        _row("tokens a second", [_count(round(samples_per_second * tokens))]),
    ]
    if training.steps is not None:
        steps = training.steps
    else:
        assert training.minutes is not None
        steps = round(60 * training.minutes / duration.seconds)
    rows = [(f"{_count(steps)} steps", steps * batch)]
    if pairs is not None:
        rows.append((f"once over {_short(pairs)} pairs", pairs))
    lines.append(_row("", ["samples", "tokens", "days", "GPU-hours"]))
    for name, samples in rows:
        days = samples / samples_per_second / DAY
        figures = [_short(samples), _short(samples * tokens), f"{days:.3g}"]
        lines.append(_row(name, [*figures, _count(round(24 * days * machine.gpus))]))
    return lines


def _headings(columns: Sequence[Column]) -> list[str]:
    """Two lines: the stage, and what is on the host."""
    stages, hosts = [], []
    for column in columns:
        division = column.division
        star = "*" if column.configured else ""
        stages.append(star + (f"ZeRO {division.stage}" if division.deepspeed else "plain"))
        there = {"optim.": division.offload_optimizer, "params": division.offload_parameters}
        off = "+".join(name for name, is_there in there.items() if is_there)
        hosts.append(f"{off} off" if off else "")
    # What two offloads are called is longer than a column.
    hosts = ["all off" if host == "optim.+params off" else host for host in hosts]
    return [_row("", stages), _row("", hosts).rstrip()]


def _row(name: str, values: Sequence[str]) -> str:
    return f"  {name:26s}" + "".join(f"{value:>11s}" for value in values)


def _gib(value: int) -> str:
    return f"{value / GIB:.1f}" if value else "-"


def _count(value: int) -> str:
    return f"{value:,d}"


def _short(value: int) -> str:
    """Three digits and a prefix."""
    for size, prefix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= size:
            return f"{value / size:.2f} {prefix}"
    return _count(value)
