import errno
import json
from pathlib import Path

import pytest

from pipelines.command_line import UserError
from pipelines.training import checkpoint
from pipelines.training.checkpoint import heal, open_checkpoint, write_checkpoint


def write(target, step, kind="tokenizer"):
    def parts(folder):
        for part in checkpoint.PARTS[kind]:
            (folder / part).mkdir()
            (folder / part / "step").write_text(str(step))

    write_checkpoint(target, kind, ("reconstruction",), step, parts)


def test_a_checkpoint_is_replaced_by_its_successor(tmp_path):
    target = tmp_path / "checkpoint"
    write(target, 1)
    write(target, 2)
    opened = open_checkpoint(target, "tokenizer")
    assert (opened.step, opened.tasks, opened.root) == (2, ("reconstruction",), target)
    assert (opened.tokenizer / "step").read_text() == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


class Killed(BaseException):
    pass


def kill_after(monkeypatch, steps):
    """Lets `steps` changes of names or removals happen, and kills the process at the next one."""
    left = [steps]

    def counted(function):
        def wrapper(*args, **kwargs):
            if left[0] == 0:
                raise Killed
            left[0] -= 1
            return function(*args, **kwargs)

        return wrapper

    monkeypatch.setattr(Path, "rename", counted(Path.rename))
    monkeypatch.setattr(checkpoint.shutil, "rmtree", counted(checkpoint.shutil.rmtree))
    return left


def test_killed_anywhere_a_whole_checkpoint_can_be_opened_and_healed(tmp_path, monkeypatch):
    found = set()
    for moment in range(20):
        run = tmp_path / str(moment)
        run.mkdir()
        target = run / "checkpoint"
        write(target, 1)
        with monkeypatch.context() as patch:
            left = kill_after(patch, moment)
            try:
                write(target, 2)
                assert left[0] >= 0
                finished = True
            except Killed:
                finished = False
        for path in (target, run):
            before = open_checkpoint(path, "tokenizer").step
            assert before in (1, 2)
        heal(target)
        healed = open_checkpoint(target, "tokenizer")
        assert healed.root == target
        assert healed.step >= before
        assert [path.name for path in run.iterdir()] == ["checkpoint"]
        found.add(healed.step)
        if finished:
            break
    assert finished and moment > 4 and found == {1, 2}


def test_a_failure_while_writing_leaves_the_old_one(tmp_path):
    target = tmp_path / "checkpoint"
    write(target, 1)

    def fill_the_disk(folder):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(UserError, match=r"cannot be written \(.*No space left.*still there"):
        write_checkpoint(target, "tokenizer", (), 2, fill_the_disk)
    assert {path.name for path in tmp_path.iterdir()} == {"checkpoint"}
    assert open_checkpoint(target).step == 1
    write(target, 3)
    assert open_checkpoint(target).step == 3


def test_opening_a_run_finds_its_checkpoint(tmp_path):
    write(tmp_path / "checkpoint", 7)
    assert open_checkpoint(tmp_path).root == tmp_path / "checkpoint"


@pytest.mark.parametrize(
    ("break_it", "sentence"),
    [
        (lambda c: c.rename(c.with_name("elsewhere")), "there is no folder"),
        (lambda c: (c / "model_index.json").unlink(), "holds no model_index.json"),
        (lambda c: (c / "model_index.json").write_text("{"), "not the index of a checkpoint"),
        (lambda c: (c / "model_index.json").write_text("[]"), "not the index of a checkpoint"),
        (lambda c: _edit(c, format_version=99), "checkpoint format 99"),
        (
            lambda c: _edit(c, kind="dual_encoder", parts=["dual_encoder"]),
            "is a dual_encoder checkpoint where",
        ),
        (lambda c: (c / "tokenizer").rename(c / "x"), "lacks its folder 'tokenizer'"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, break_it, sentence):
    target = tmp_path / "checkpoint"
    write(target, 1)
    break_it(target)
    with pytest.raises(UserError, match=sentence):
        open_checkpoint(target, "tokenizer")


def test_a_transformers_checkpoint_is_its_tokenizers_as_well(tmp_path):
    write(tmp_path / "transformer", 1, "bidirectional")
    opened = open_checkpoint(tmp_path / "transformer", "tokenizer")
    assert opened.kind == "tokenizer" and (opened.tokenizer / "step").is_file()
    assert open_checkpoint(tmp_path / "transformer").kind == "bidirectional"
    write(tmp_path / "matcher", 1, "dual_encoder")
    with pytest.raises(UserError, match="a dual_encoder checkpoint where a tokenizer checkpoint"):
        open_checkpoint(tmp_path / "matcher", "tokenizer")


def test_a_part_of_a_checkpoint_is_refused(tmp_path):
    write(tmp_path / "checkpoint", 1)
    with pytest.raises(UserError, match="name the folder above it"):
        open_checkpoint(tmp_path / "checkpoint" / "tokenizer", "tokenizer")


def _edit(folder, **changes):
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | changes))
