"""Real launches of the training commands: by plain python, accelerate and DeepSpeed's launcher."""

import os
import socket
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
TOKENIZER = REPOSITORY / "pipelines" / "train_tokenizer.py"
DUAL_ENCODER = REPOSITORY / "pipelines" / "train_dual_encoder.py"
BIDIRECTIONAL = REPOSITORY / "pipelines" / "train_bidirectional.py"
ENDS_ITS_THREADS = Path(__file__).with_name("ends_its_threads.py")
SHORT = [
    "training.steps=12",
    "training.log_every=1",
    "training.validate_every=0",
    "training.sample_every=0",
]
# End to end, with whatever a discriminator needs to be comparable (see `real_runs.TOKENIZER`).
PAINTING = [
    "end_to_end.sampled_ids=0.3",
    "training.optimizer.epsilon=1e-5",
    "reconstruction.l1_weight=0",
    "reconstruction.l2_weight=1",
    "reconstruction.perceptual_weight=0",
    "reconstruction.adversarial_weight=0.5",
    "discriminator.base_channels=8",
    "discriminator.layers=2",
]
# Captions of some scenes and questions about others: now and then a process has none of a kind.
ASKING = [
    "objective.question_answering_weight=0.5",
    "data.mixture=[{source: scenes, question_column: [], answer_column: []}, "
    "{source: scenes, text_column: []}]",
]


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def launcher(name: str, processes: int) -> list[str]:
    if name == "python":
        return [sys.executable]
    if name == "deepspeed":
        return [deepspeed(), "--num_gpus", str(processes), "--master_port", free_port()]
    if processes == 1:
        return [str(BIN / "accelerate"), "launch"]
    several = ["--multi_gpu", "--num_processes", str(processes)]
    return [str(BIN / "accelerate"), "launch", *several, "--main_process_port", free_port()]


def deepspeed() -> str:
    return str(BIN / "deepspeed")


def start_command(command: list[str], cwd: Path) -> subprocess.Popen:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def start(name: str, processes: int, script: Path, *arguments: str, cwd: Path) -> subprocess.Popen:
    return start_command([*launcher(name, processes), str(script), *arguments], cwd)


def run(name: str, processes: int, script: Path, *arguments: str, cwd: Path) -> str:
    """Runs to the end; what it wrote to stderr."""
    if processes > 1:
        script, arguments = ENDS_ITS_THREADS, (str(script), *arguments)
    process = start(name, processes, script, *arguments, cwd=cwd)
    _, error = process.communicate()
    assert process.returncode == 0, error
    return error
