"""Plans held against what was measured: operations, memory and time of steps, states under ZeRO.

    python benchmarks/plan.py --output runs/benchmarks/plan.json \\
        [--only operations memory states time]

Operations: PyTorch's counter, of a step in both directions with attention written out in plain
products, which it sees (it does not look into `blockwise`, and counts a fused kernel's
recomputation as work). Memory: what a micro-batch that is not the step's first adds at its peak to
a process of its own, by the kernel's account; malloc gives back at once what is freed, so that the
peak is of tensors and not of the gaps between them. States: what a rank of two holds between steps,
and what tensors add at the peak of one (stages 1 to 3 of ZeRO). Time: a micro-batch at each size,
planned by the utilisation measured at the first.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from measuring import begin, medians, peak_memory, write_json
from plan_sizes import (
    BUCKET,
    STATES,
    STEPS,
    TEXT,
    TIMED,
    Size,
    batch_of,
    configuration,
)
from torch.utils.flop_counter import FlopCounterMode

from pipelines.planning.activations import MicroBatch, step_memory
from pipelines.planning.memory import state_memory, stepping_memory
from pipelines.planning.zero import Division
from pipelines.training.distributed import precision_context
from pipelines.training.loop import under
from pipelines.training.processor import keep_freed_memory
from pipelines.training.recomputation import recompute
from pipelines.training.utilisation import peak_flops
from unified_transformer import (
    BidirectionalObjective,
    BidirectionalObjectiveSettings,
    UnifiedTransformer,
)
from unified_transformer.attention.dense import dense_mask
from unified_transformer.attention.kernel import attend_by_products
from unified_transformer.blocks import Attention, Block
from unified_transformer.flops import forward_flops, recomputed_flops, training_flops
from unified_transformer.sequence import DIRECTIONS, Sequence

TABLES = ("operations", "memory", "time", "states")
PROCESSES = 2
MIB = 2**20


def micro_batch(size: Size, written_out: bool = False) -> Callable[[], None]:
    """Forward in both directions and backward, gradients adding up, after the first one."""
    torch.manual_seed(0)
    config = configuration(size)
    model = UnifiedTransformer(config).train()
    if written_out:
        model.attention = products  # type: ignore[method-assign]
    if size.checkpointing:
        recompute(model, (Block,))
    objective = BidirectionalObjective(model, config, BidirectionalObjectiveSettings())
    batch = batch_of(config, size.samples)
    context = precision_context(torch.device("cpu"), size.precision)

    def work() -> None:
        for _, losses in objective.turns([batch], 0):
            for terms in under(context, losses):
                terms["loss"].backward()

    work()
    return work


def products(sequence: Sequence, pattern: str) -> Attention:
    mask = sequence.cached(pattern, lambda: dense_mask(sequence, pattern))
    return partial(attend_by_products, mask=mask)


def planned_flops(size: Size, every_pair: bool) -> int:
    """Of a micro-batch, recomputation included."""
    config = configuration(size)
    passes = [forward_flops(config, name, every_pair=every_pair) for name in DIRECTIONS]
    flops = sum(one.training for one in passes)
    if size.checkpointing:
        visible = [forward_flops(config, name) for name in DIRECTIONS]
        flops += sum(recomputed_flops(config, name) for name in DIRECTIONS)
        # Recomputed attention is counted by visible pairs.
        flops += sum(a.attention - b.attention for a, b in zip(passes, visible, strict=True))
    return size.samples * flops


def operations(size: Size) -> dict[str, Any]:
    work = micro_batch(size, written_out=True)
    with FlopCounterMode(display=False) as counter:
        work()
    return row(size, planned_flops(size, every_pair=True) / 1e9, counter.get_total_flops() / 1e9)


def memory(size: Size) -> dict[str, Any]:
    micro = MicroBatch(size.samples, TEXT, size.precision, "cpu")
    planned = step_memory(configuration(size), micro, size.checkpointing)
    return row(size, planned.total / MIB, peak_memory(micro_batch, size)["added"])


def time_of_steps() -> list[dict[str, Any]]:
    """All by the utilisation of the first: operations that are done, over the peak rate."""
    seconds = medians({size: micro_batch(size) for size in TIMED}, repeats=5)
    reference, device = TIMED[0], torch.device("cpu")

    def at_best(size: Size) -> float:
        peak = peak_flops(device, size.precision)
        assert peak is not None
        return planned_flops(size, every_pair=False) / peak

    share = at_best(reference) / seconds[reference]
    rows = []
    for size in TIMED:
        model = size.samples * training_flops(configuration(size))
        peak = peak_flops(device, size.precision)
        assert peak is not None
        mfu = model / seconds[size] / peak
        rows.append(row(size, at_best(size) / share, seconds[size]) | {"utilisation": mfu})
    return rows


def states(stage: int) -> list[dict[str, Any]]:
    """Two rows, what is held and what a step adds, from a launch of two processes."""
    config = configuration(STATES)
    with torch.device("meta"):
        count = sum(p.numel() for p in UnifiedTransformer(config).parameters())
    division = Division(stage=stage, deepspeed=True, bucket=BUCKET, gathered=BUCKET)
    planned = state_memory(count, division, PROCESSES)
    micro = MicroBatch(
        STATES.samples, TEXT, STATES.precision, "cpu", stage_3=stage == 3, together=True
    )
    step = step_memory(config, micro, STATES.checkpointing).total
    most = planned.device + max(step, stepping_memory(count, division, PROCESSES))
    # Between steps gradients are gone, and buffers; stage 3 keeps both.
    held = planned.device - (planned.gradients + planned.buffers) * (stage < 3)
    found = launch(stage)
    return [
        {"stage": stage, "what": "held", **compared(held / MIB, found["held"])},
        {"stage": stage, "what": "added", **compared((most - held) / MIB, found["added"])},
    ]


def launch(stage: int) -> dict[str, float]:
    with TemporaryDirectory() as folder:
        output = Path(folder) / "states.json"
        program = Path(sys.executable).parent / "deepspeed"
        script = Path(__file__).with_name("plan_states.py")
        command = [program, "--num_gpus", PROCESSES, script, stage, output]
        subprocess.run([str(part) for part in command], check=True, stdout=sys.stderr)
        return json.loads(output.read_text())


def row(size: Size, planned: float, measured: float) -> dict[str, Any]:
    return size._asdict() | compared(planned, measured)


def compared(planned: float, measured: float) -> dict[str, float]:
    return {"planned": planned, "measured": measured, "ratio": planned / measured}


def show(title: str, rows: list[dict[str, Any]]) -> None:
    print(f"\n{title}\n" + "  ".join(f"{name:>13s}" for name in rows[0]))
    for one in rows:
        values = (f"{v:.3f}" if isinstance(v, float) else str(v) for v in one.values())
        print("  ".join(f"{value:>13s}" for value in values), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=TABLES, default=TABLES)
    arguments = begin(parser)
    figures: dict[str, list[dict[str, Any]]] = {}
    if "operations" in arguments.only:
        figures["operations"] = [operations(size) for size in STEPS]
        show("GFLOP of a micro-batch, every pair computed", figures["operations"])
    # Read by the processes that are started from here on.
    os.environ["MALLOC_MMAP_THRESHOLD_"] = str(2**16)
    if "memory" in arguments.only:
        figures["memory"] = [memory(size) for size in STEPS]
        show("MiB that a micro-batch adds", figures["memory"])
    if "states" in arguments.only:
        figures["states"] = [line for stage in (1, 2, 3) for line in states(stage)]
        show("MiB of a rank of two", figures["states"])
    if "time" in arguments.only:
        keep_freed_memory()  # as training does
        figures["time"] = time_of_steps()
        show("seconds of a micro-batch", figures["time"])
    write_json(arguments.output, figures)


if __name__ == "__main__":
    main()
