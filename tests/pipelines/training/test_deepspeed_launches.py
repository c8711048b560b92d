"""DeepSpeed for real, on two CPU processes: every JSON of ours against plain python, and resuming
each other."""

import json
import shutil
import sys
from pathlib import Path

import launching
import pytest
from safetensors.torch import load_file

from pipelines.training.checkpoint import open_checkpoint
from pipelines.training.metrics import read_metrics

pytestmark = pytest.mark.slow

BIDIRECTIONAL, run = launching.BIDIRECTIONAL, launching.run

POISONS = Path(__file__).with_name("poisons_a_step.py")
CONFIGURATIONS = launching.REPOSITORY / "configs" / "deepspeed"
OWN = sorted(path.stem for path in CONFIGURATIONS.glob("*.json"))
LOOKING = [
    "training.validate_every=6",
    "training.validation_batches=2",
    "training.sample_every=12",
    "training.export=last",
]
DRAW_AND_DESCRIBE = """
import sys
from pipelines import BidirectionalPipeline
pipe = BidirectionalPipeline.from_pretrained(sys.argv[1])
pictures = pipe.generate_images(["a red circle"], seed=0)
captions = pipe.caption_images(pictures)
assert len(pictures) == len(captions) == 1
assert "deepspeed" not in sys.modules
"""


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizer")
    arguments = ["--config", "configs/tokenizer/tiny.yaml", "output=run", *launching.SHORT]
    run("python", 1, launching.TOKENIZER, *arguments, cwd=folder)
    return folder / "run"


@pytest.fixture(scope="module")
def arguments(tokenizer):
    """Of a run of 12 steps, two micro-batches each in two processes, saved at 5, 10 and 12."""
    config = ["--config", "configs/bidirectional/tiny.yaml", f"tokenizer={tokenizer}"]
    config += launching.ASKING
    states = ["output=run", "training.save_every=5", "training.keep_states=9"]
    return [*config, *states, "training.micro_batch_size=4", *launching.SHORT]


@pytest.fixture(scope="module")
def plain(arguments, tmp_path_factory):
    """Plain python's run, to compare others with."""
    folder = tmp_path_factory.mktemp("plain")
    error = run("python", 1, BIDIRECTIONAL, *arguments, *LOOKING, cwd=folder)
    assert "Training without DeepSpeed" in error
    return folder / "run"


@pytest.fixture(scope="module")
def trained(arguments, tmp_path_factory):
    """The runs of our own JSONs, each made once."""
    made: dict[str, Path] = {}

    def train(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            run("deepspeed", 2, BIDIRECTIONAL, *arguments, *LOOKING, own(name), cwd=folder)
            made[name] = folder / "run"
        return made[name]

    return train


@pytest.fixture(scope="module")
def all_divided(tmp_path_factory):
    """ZeRO 3 with everything offloaded, and the small weights divided as well: in ours those stay
    with every process, and a tiny model has hardly any others."""
    config = json.loads((CONFIGURATIONS / "zero_3_offload.json").read_text())
    config["zero_optimization"]["stage3_param_persistence_threshold"] = 0
    file = tmp_path_factory.mktemp("json") / "all_divided.json"
    file.write_text(json.dumps(config))
    return f"deepspeed={file}"


def own(name: str) -> str:
    return f"deepspeed=configs/deepspeed/{name}.json"


def copy_up_to(step: int, folder: Path, target: Path) -> Path:
    """A run as if it had been killed after that state."""
    shutil.copytree(folder, target / "run")
    for state in (target / "run" / "state").iterdir():
        if int(state.name.removeprefix("step_")) > step:
            shutil.rmtree(state)
    return target / "run"


def figures(folder: Path, name: str) -> list[float]:
    return [row[name] for row in read_metrics(folder / "metrics.jsonl") if name in row]


def tensors(folder: Path) -> dict:
    return {
        f"{file.relative_to(folder)}:{name}": value.double()
        for part in ("weights", "ema", "optimizer")
        for file in sorted((folder / part).rglob("*.safetensors"))
        for name, value in load_file(file).items()
    }


def assert_same_course(ours: Path, theirs: Path) -> None:
    """Losses, gradient norms and validation figures of each step, and the last state's tensors."""
    for name in ("loss", "question_answering", "gradient_norm", "learning_rate", "validation_loss"):
        found = figures(ours, name)
        assert found and found == pytest.approx(figures(theirs, name), abs=1e-4), name
    mine, yours = (tensors(folder / "state" / "step_12") for folder in (ours, theirs))
    assert mine.keys() == yours.keys() and len(mine) > 100
    for name, value in mine.items():
        # A step moves a weight by 2e-4. Where rounding decides on which side of a discriminator's
        # kink a number falls, its gradient jumps; everything else hardly feels it.
        if "discriminator" not in name:
            assert (value - yours[name]).abs().max() < 1e-5, name


@pytest.mark.parametrize("name", OWN)
def test_each_configuration_of_ours_trains_as_plain_python_does(plain, trained, name):
    before = {*Path("/dev/shm").glob("deepspeed*")}
    folder = trained(name)
    assert {*Path("/dev/shm").glob("deepspeed*")} <= before
    assert_same_course(folder, plain)
    assert open_checkpoint(folder, "bidirectional").step == 12
    assert (folder / "samples" / "step_12.png").is_file()
    assert not [path for path in folder.rglob("*") if path.suffix in (".pt", ".bin", ".pkl")]


def test_zero_3_goes_on_in_plain_python(plain, trained, arguments, tmp_path):
    folder = copy_up_to(10, trained("zero_3"), tmp_path)
    error = run("python", 1, BIDIRECTIONAL, *arguments, *LOOKING, "--resume", cwd=tmp_path)
    assert "Resumed at step 10. Changed: processes 2 -> 1." in error
    assert_same_course(folder, plain)


def test_plain_python_goes_on_under_zero_3(plain, all_divided, arguments, tmp_path):
    folder = copy_up_to(5, plain, tmp_path)
    options = [all_divided, "training.activation_checkpointing=true", "--resume"]
    error = run("deepspeed", 2, BIDIRECTIONAL, *arguments, *LOOKING, *options, cwd=tmp_path)
    assert "Resumed at step 5. Changed: processes 1 -> 2, training.activation_check" in error
    assert_same_course(folder, plain)
    straight = tensors(folder / "state" / "step_12")
    shutil.rmtree(folder / "state" / "step_12")
    run("deepspeed", 2, BIDIRECTIONAL, *arguments, *LOOKING, *options, cwd=tmp_path)
    again = tensors(folder / "state" / "step_12")
    for name, value in straight.items():
        assert value.equal(again[name]), name


def test_a_checkpoint_of_zero_3_draws_and_describes_without_deepspeed(trained, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(DRAW_AND_DESCRIBE)
    command = [sys.executable, str(script), str(trained("zero_3") / "checkpoint")]
    process = launching.start_command(command, launching.REPOSITORY)
    _, error = process.communicate()
    assert process.returncode == 0, error


def test_end_to_end_under_zero_3(all_divided, arguments, tmp_path):
    """The generator in the engine and the discriminator beside it, some of its own ids in the
    prefix; it goes on under ZeRO 2."""
    arguments = [*arguments, *LOOKING, *launching.PAINTING]
    (tmp_path / "plain").mkdir()
    run("python", 1, BIDIRECTIONAL, *arguments, cwd=tmp_path / "plain")
    run("deepspeed", 2, BIDIRECTIONAL, *arguments, all_divided, cwd=tmp_path)
    folder = tmp_path / "run"
    assert_same_course(folder, tmp_path / "plain" / "run")
    assert open_checkpoint(folder, "bidirectional").reconstructor is not None
    shutil.rmtree(folder / "state" / "step_12")
    run("deepspeed", 2, BIDIRECTIONAL, *arguments, own("zero_2"), "--resume", cwd=tmp_path)
    assert_same_course(folder, tmp_path / "plain" / "run")


def test_two_nodes(plain, arguments, tmp_path):
    """A hostfile of two machines of one process each; both are this one, without ssh."""
    hostfile = tmp_path / "hostfile"
    hostfile.write_text("first slots=1\nsecond slots=1\n")
    options = ["--hostfile", str(hostfile), "--no_ssh", "--master_addr", "127.0.0.1"]
    options += ["--master_port", launching.free_port()]
    script = [str(BIDIRECTIONAL), *arguments, *LOOKING, own("zero_3")]
    nodes = [
        launching.start_command(
            [launching.deepspeed(), *options, "--node_rank", str(rank), *script], tmp_path
        )
        for rank in range(2)
    ]
    errors = [node.communicate()[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], errors
    assert_same_course(tmp_path / "run", plain)


def test_a_step_that_is_not_finite_is_skipped_by_all_processes_alike(arguments, tmp_path):
    """In one process of two; with plain python and each stage of ZeRO."""
    runs = {}
    for name, launcher, processes in (
        ("plain", "accelerate", 2),
        ("zero_1", "deepspeed", 2),
        ("zero_2", "deepspeed", 2),
        ("zero_3", "deepspeed", 2),
    ):
        more = [own(name)] if launcher == "deepspeed" else []
        (tmp_path / name).mkdir()
        process = launching.start(
            launcher, processes, POISONS, str(BIDIRECTIONAL), *arguments, *more, cwd=tmp_path / name
        )
        _, error = process.communicate()
        assert process.returncode == 0, error
        assert error.count("Step 5 was skipped: the transformer's loss") == 1
        runs[name] = tmp_path / name / "run"
    for name, folder in runs.items():
        assert figures(folder, "skipped_steps") == [*[0] * 4, *[1] * 8]
        losses = figures(folder, "loss")
        assert len(losses) == 11
        assert losses == pytest.approx(figures(runs["plain"], "loss"), abs=1e-4), name
