"""A rank of a DeepSpeed run whose micro-batches are so small that only its states count.

    deepspeed --num_gpus 2 benchmarks/plan_states.py STAGE FILE.json

Started by `benchmarks/plan.py`. Writes what the first rank holds between two steps, above what it
held before there was a model (by the kernel, without memory that processes share), and what tensors
add at the peak of one. The kernel's own peak has the shared memory through which the two talk.
"""

import argparse
import json
from pathlib import Path

import torch
from measuring import resident, restart_peak
from plan_sizes import BUCKET, FIRST, STATES, Size, batch_of, configuration

from pipelines.configuration.assembly.bidirectional import transformer_matrices
from pipelines.planning.simulation import MemoryMeter
from pipelines.training.deepspeed_engine import DeepSpeedPlayer
from pipelines.training.distributed import Processes
from pipelines.training.ema import WeightAverage
from pipelines.training.settings import OptimizerSettings
from unified_transformer import (
    BidirectionalObjective,
    BidirectionalObjectiveSettings,
    UnifiedTransformer,
)


def engine_json(stage: int, processes: int) -> dict:
    """Two micro-batches a step, and buckets that a small model fills."""
    zero = {"stage": stage, "reduce_bucket_size": BUCKET, "stage3_max_live_parameters": BUCKET}
    return {
        "train_batch_size": 2 * processes,
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 2,
        "gradient_clipping": 1.0,
        "zero_optimization": zero,
        "steps_per_print": 10**9,
    }


def measure(size: Size, stage: int, processes: Processes) -> dict[str, float]:
    """MiB of this rank."""
    config = configuration(size)
    batch = batch_of(config, 1)
    restart_peak()
    before = resident("RssAnon")
    torch.manual_seed(0)
    model = UnifiedTransformer(config)
    player = DeepSpeedPlayer(
        model,
        transformer_matrices,
        OptimizerSettings(),
        processes,
        engine_json(stage, processes.count),
    )
    average = WeightAverage(player.weights, 0.999)
    objective = BidirectionalObjective(
        player.engine,
        config,
        BidirectionalObjectiveSettings(),
        processes.all_reduce_sum,
        together=True,  # as under DeepSpeed in training
    )

    def step() -> None:
        player.start()
        for _, losses in objective.turns([batch, batch], 0):
            for terms in losses:
                player.backward(terms["loss"])
        player.step(0, 0.0)
        average.update()

    step()
    step()
    restart_peak()
    held = resident("RssAnon") - before
    with MemoryMeter() as meter:
        step()
    found = {"held": held, "added": meter.peak / 2**20}
    player.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("stage", type=int)
    parser.add_argument("output")
    parser.add_argument("--local_rank", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    with Processes(torch.device("cpu")) as processes:
        # The first engine loads what is loaded once: libraries, the processes' shared memory.
        measure(FIRST, arguments.stage, processes)
        found = measure(STATES, arguments.stage, processes)
        if processes.is_main:
            Path(arguments.output).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
