"""A checkpoint that somebody else had a hand in: refused with a reason, and never unpickled."""

import io
import json
import pickle
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines import BidirectionalPipeline
from pipelines.command_line import UserError
from pipelines.training.checkpoint import open_checkpoint


class Trap:
    """What a pickle can do: call anything."""

    def __reduce__(self):
        return (pytest.fail, ("something was unpickled",))


@pytest.fixture
def copy(end_to_end_checkpoint, tmp_path):
    return shutil.copytree(end_to_end_checkpoint, tmp_path / "checkpoint")


@pytest.fixture
def no_pickles(monkeypatch):
    """Nothing unpickles but by failing."""

    def trap(*arguments, **options):
        pytest.fail("something was unpickled")

    for module, name in ((pickle, "load"), (pickle, "loads"), (torch, "load")):
        monkeypatch.setattr(module, name, trap)
    monkeypatch.setattr(pickle, "Unpickler", trap)


WEIGHTS = ["tokenizer", "transformer", "reconstructor"]


def test_a_whole_one_is_loaded_without_unpickling(copy, no_pickles):
    (copy / "transformer" / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    (copy / "tokenizer" / "training_args.bin").write_bytes(pickle.dumps(Trap()))
    pipe = BidirectionalPipeline.from_pretrained(copy, "cpu")
    assert len(pipe.generate_images(["a red circle"])) == 1


@pytest.mark.parametrize("part", WEIGHTS)
def test_a_pickle_in_the_place_of_weights(copy, no_pickles, part):
    weights = copy / part / "model.safetensors"
    tensors = {name: value.clone() for name, value in load_file(weights).items()}
    file = io.BytesIO()
    torch.save({**tensors, "trap": Trap()}, file)
    for content in (pickle.dumps(Trap()), file.getvalue()):
        weights.write_bytes(content)
        with pytest.raises(UserError, match=part):
            BidirectionalPipeline.from_pretrained(copy, "cpu")
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(UserError, match=part):
        BidirectionalPipeline.from_pretrained(copy, "cpu")


@pytest.mark.parametrize("part", WEIGHTS)
def test_weights_that_are_cut_off_or_edited(copy, part):
    weights = copy / part / "model.safetensors"
    whole = weights.read_bytes()
    tensors = {name: value.clone() for name, value in load_file(weights).items()}
    name = next(iter(tensors))
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=part):
        BidirectionalPipeline.from_pretrained(copy, "cpu")
    for changed in (
        {key: value for key, value in tensors.items() if key != name},
        {**tensors, "one_more": torch.zeros(1)},
        {**tensors, name: torch.zeros(3)},
    ):
        save_file(changed, weights, metadata={"format": "pt"})
        with pytest.raises(UserError, match=part):
            BidirectionalPipeline.from_pretrained(copy, "cpu")


def test_code_that_comes_with_a_text_tokenizer_is_not_run(copy, monkeypatch):
    file = copy / "text_tokenizer" / "tokenizer_config.json"
    settings = json.loads(file.read_text())
    settings |= {"tokenizer_class": "Trap", "auto_map": {"AutoTokenizer": ["trap.Trap", None]}}
    file.write_text(json.dumps(settings))
    code = "import pytest\npytest.fail('code of a checkpoint was run')\n"
    (copy / "text_tokenizer" / "trap.py").write_text(code)
    monkeypatch.setattr("builtins.input", lambda *question: pytest.fail("it asked"))
    with pytest.raises(UserError, match="text tokenizer"):
        BidirectionalPipeline.from_pretrained(copy, "cpu")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format_version": 2}, "has checkpoint format 2, and this version reads format 1"),
        ({"format_version": "1"}, "has checkpoint format 1"),
        ({"kind": "gan"}, "is a gan checkpoint"),
        ({"parts": ["../secret"]}, "is not the index of a checkpoint"),
        ({"parts": 3}, "is not the index of a checkpoint"),
        ({"tasks": None}, "is not the index of a checkpoint"),
        ({"parts": ["vision"]}, "lacks its folder 'vision'"),
    ],
)
def test_another_version_and_an_edited_index(copy, changes, words):
    index = copy / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | changes))
    with pytest.raises(UserError, match=words):
        open_checkpoint(copy, "bidirectional")
