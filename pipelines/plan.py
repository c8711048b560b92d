"""Prints what training a configuration will take: parameters, operations, memory, days.

    python pipelines/plan.py --config configs/bidirectional/ernie_vilg_300m.yaml \\
        --gpus 8 --gpu A100 --pairs 145000000

Needs neither a GPU nor the data nor the tokenizer's checkpoint. docs/scale.md says where each
number comes from and how far it was from what was measured.
"""

import argparse
import sys

from pipelines.command_line import UserError, command, command_parser
from pipelines.configuration.assembly.parts import or_user_error
from pipelines.configuration.loading import find_configuration
from pipelines.planning.duration import UTILISATION, step_duration
from pipelines.planning.memory import MemoryPlanner
from pipelines.planning.operations import sample_flops
from pipelines.planning.report import (
    Column,
    Machine,
    duration_lines,
    memory_lines,
    model_lines,
    operation_lines,
)
from pipelines.planning.workload import Workload, count_parameters, read_workload
from pipelines.planning.zero import Division, columns, read_division
from pipelines.training.utilisation import GPUS, find_gpu, peak_flops_of


def plan(workload: Workload, machine: Machine, division: Division | None, pairs: int | None) -> str:
    """The whole page; `division` is the run's own, where it is known.

    Raises:
        UserError: the batch does not divide by the GPUs, or they do not compute in its precision.
    """
    parameters, flops = count_parameters(workload), sample_flops(workload)
    training = workload.config.training
    planner = or_user_error(lambda: MemoryPlanner(workload, parameters, machine.gpus))
    duration = step_duration(
        flops,
        training.batch_size,
        machine.gpus,
        machine.gpu,
        training.precision,
        machine.utilisation,
    )
    peak = peak_flops_of(machine.gpu, training.precision)
    assert peak is not None
    on = training.activation_checkpointing
    compared = [
        Column(one, planner.memory(one, on), planner.memory(one, not on), one == division)
        for one in columns(division or Division())
    ]
    lines = model_lines(workload, parameters) + operation_lines(workload, flops)
    lines += memory_lines(workload, machine, compared)
    lines += duration_lines(workload, machine, duration, peak, pairs)
    return "\n".join(lines)


def configured_division(workload: Workload) -> Division | None:
    """That of the run's DeepSpeed JSON; plain data parallelism without one, None where the JSON is
    still to be written."""
    name = workload.config.deepspeed
    if name is None:
        return Division()
    try:
        file = find_configuration(name)
    except UserError:
        print(f"There is no {name} yet, so none of the columns is the run's own.", file=sys.stderr)
        return None
    return read_division(file)


def _machine(arguments: argparse.Namespace) -> Machine:
    gpu = find_gpu(arguments.gpu)
    if gpu is None:
        known = ", ".join(gpu.name for gpu in GPUS)
        raise UserError(f"--gpu {arguments.gpu} is not known; choose one of {known}.")
    for name in ("gpus", "gpus_per_node", "pairs"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} is {value}; it must be 1 or more.")
    if not 0 < arguments.utilisation <= 1:
        raise UserError(f"--utilisation is {arguments.utilisation}; it is a share, up to 1.")
    per_node = min(arguments.gpus, arguments.gpus_per_node)
    return Machine(gpu, arguments.gpus, per_node, arguments.utilisation)


@command
def main(argv: list[str] | None = None) -> None:
    parser = command_parser(__doc__)
    parser.add_argument(
        "--config", required=True, metavar="YAML", help="a configuration of configs/bidirectional"
    )
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="changes to the configuration, as in training",
    )
    parser.add_argument("--gpus", type=int, default=8, help="how many GPUs there are, in all")
    parser.add_argument(
        "--gpus-per-node", type=int, default=8, help="how many of them share a host's memory"
    )
    parser.add_argument(
        "--gpu", default="A100", help="its name, such as A100, H100, L40S or RTX 4090"
    )
    parser.add_argument(
        "--pairs", type=int, help="how many pairs a data set has, to plan one pass over it"
    )
    parser.add_argument(
        "--utilisation",
        type=float,
        default=UTILISATION,
        help="model FLOPs over the GPU's peak FLOPs; docs/scale.md has what others reached",
    )
    parser.add_argument(
        "--text-length",
        type=int,
        help="tokens of a text with its padding (default: all text positions)",
    )
    parser.add_argument(
        "--tokenizer-config",
        metavar="YAML",
        help="the tokenizer's configuration, where it is not trained yet",
    )
    arguments = parser.parse_intermixed_args(argv)
    machine = _machine(arguments)
    workload = read_workload(
        arguments.config, arguments.overrides, arguments.tokenizer_config, arguments.text_length
    )
    print(plan(workload, machine, configured_division(workload), arguments.pairs))


if __name__ == "__main__":
    main()
