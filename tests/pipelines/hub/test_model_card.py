"""The card says what the run left and nothing else, and what it tells to do can be done."""

import json
import re
import shlex
import shutil
import tomllib
from functools import partial
from pathlib import Path

import huggingface_hub
import pytest
import yaml
from PIL import Image

from pipelines import (
    answer_questions,
    caption_images,
    evaluate_checkpoint,
    generate_images,
)
from pipelines.hub.data_description import describe_data, hub_dataset, public_name
from pipelines.hub.model_card import ModelCard
from pipelines.hub.run_description import RunDescription, count_parameters, describe_run
from pipelines.training import command_arguments
from pipelines.training.checkpoint import open_checkpoint
from vq import VQGAN

ROOT = Path(__file__).resolve().parents[3]
KINDS = {
    "bidirectional": ("text_to_image", "image_to_text", "question_answering"),
    "tokenizer": ("reconstruction",),
    "dual_encoder": ("image_text_matching",),
    "gan": ("text_to_image", "style_transfer"),
}
PARSERS = {
    "answer_questions": answer_questions.parse_arguments,
    "caption_images": caption_images.parse_arguments,
    "evaluate_checkpoint": evaluate_checkpoint.parse_arguments,
    "generate_images": generate_images.parse_arguments,
    "train_bidirectional": partial(command_arguments.parse_arguments, text=""),
}


def card_of(run, **more):
    return str(ModelCard("owner/name", describe_run(open_checkpoint(run), **more), None))


def described(kind, tasks=None, **more):
    return RunDescription(kind, tasks or KINDS[kind], 7, {}, **more)


def front_matter(card):
    return huggingface_hub.ModelCard(card).data.to_dict()


def block(card, language):
    return re.search(rf"```{language}\n(.*?)\n```", card, re.DOTALL)[1]


def change(run, **changes):
    file = run / "config.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | changes))


def test_all_that_the_run_left(run, tmp_path):
    card = card_of(run)
    for line in (
        "Pictures have 32 x 32 pixels.",
        "- draws pictures of texts\n- describes pictures\n",
        "- `holiday`, a data set of its trainer's (split `train`), texts of `said`\n",
        "- 40 steps of 16 samples\n",
        "- the weights are those of step 0\n",
        "- 12.3 minutes\n",
        "- optimizer: muon, learning rate 0.02, weight decay 0.1\n",
        "- precision: bf16\n",
        "- went on from another checkpoint\n",
        "- tokenizer: trained before, by itself\n",
        "- seed 3\n",
        "On validation rows, at step 0:",  # of the weights' step, and not of the last
        "| loss | 1.500 |",
        "![samples at step 40](images/training_samples.png)",
        "![training and validation loss](images/loss_curve.png)",
        "at 32 x 32 pixels, after those of the checkpoint that it went on from: expect",
        "Texts have at most 16 tokens.",
        "Its owner has chosen none yet",
    ):
        assert line in card
    assert str(tmp_path) not in card and "secret" not in card and "earlier" not in card
    assert front_matter(card) == {
        "library_name": "drawscribe",
        "pipeline_tag": "text-to-image",
        "tags": ["drawscribe", "bidirectional", "text-to-image", "image-to-text"],
    }


@pytest.mark.parametrize(
    ("kind", "original"),
    [
        ("taming", "a VQGAN of taming-transformers"),
        ("llamagen", "LlamaGen"),
        ("diffusers", "a VQModel of diffusers"),
        ("chameleon", "Chameleon"),
    ],
)
def test_an_imported_tokenizer_is_not_said_to_be_trained_here(
    kind, original, tokenizer_checkpoint, tmp_path
):
    shutil.copytree(tokenizer_checkpoint, tmp_path / "checkpoint")
    index = tmp_path / "checkpoint/model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"imported_from": kind}))
    run = describe_run(open_checkpoint(tmp_path))
    card = str(ModelCard("owner/name", run))
    assert "Taken over, as it is, from " in card and original in card
    assert "- tokenizer: " in card and "## Licence\n\nThat of the original.\n" in card
    for false in ("Trained", "## Training", "the weights are those of step", "Its owner has"):
        assert false not in card
    assert "That of the original: mit." in str(ModelCard("owner/name", run, "mit"))


def test_what_is_not_known_is_left_out(checkpoint, tmp_path):
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "checkpoint").symlink_to(checkpoint)
    card = card_of(alone)
    assert "## How to use" in card and "## Training" in card
    for absent in ("## Data", "## Figures", "## Limitations", "minutes", "None", "null", "!["):
        assert absent not in card


def test_parameters(checkpoint):
    tokenizer = VQGAN.from_pretrained(checkpoint / "tokenizer")
    dropped = tokenizer.quantizer.TRAINING_BUFFERS
    state = tokenizer.state_dict().items()
    expected = sum(t.numel() for name, t in state if name.split(".")[-1] not in dropped)
    assert count_parameters(checkpoint / "tokenizer") == expected
    assert f"- tokenizer: {expected:,} parameters\n" in card_of(checkpoint)
    assert "text_tokenizer:" not in card_of(checkpoint)


def test_the_quickstart(run):
    change(run, data={"source": "scenes", "text_column": ["text", "text_zh"], "size": 64})
    (run / "tokenizer").mkdir()
    (run / "tokenizer/config.yaml").write_text(yaml.safe_dump({"data": {"source": "scenes"}}))
    (run / "tokenizer/metrics.jsonl").write_text(json.dumps({"step": 9, "minutes": 2.0}) + "\n")
    report = {"one_object_accuracy": 0.875, "scenes": 500, "minutes": 9.5, "sampling": {"top_k": 0}}
    (run / "report.json").write_text(json.dumps(report))
    Image.new("RGB", (8, 8)).save(run / "samples.png")
    index = run / "checkpoint/model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"sampling": {"top_p": 0.9}}))
    card = card_of(run)
    assert "Shares of 500 test scenes each" in card and "| one object drawn | 0.875 |" in card
    assert "Recommended sampling: top_p 0.9." in card
    assert "- 14.3 minutes\n" in card
    assert "- tokenizer: trained first, on `scenes`" in card
    assert "1 to 2 a picture, texts of `text`, `text_zh`" in card
    assert "a large red circle above a small blue square" in card
    assert card.index("images/samples.png") < card.index("images/training_samples.png")
    assert front_matter(card)["language"] == ["en", "zh"]


def test_a_report(run, tmp_path):
    figures = {"text_to_image": {"fid": 12.5, "inception_score": None}, "likelihood": {}}
    (tmp_path / "report.json").write_text(json.dumps({"rows": 300, "figures": figures}))
    Image.new("RGB", (8, 8)).save(tmp_path / "rows.png")
    card = card_of(run, report=tmp_path)
    assert "Text → image, measured on 300 rows:" in card and "| FID | 12.500 |" in card
    assert "Inception" not in card and "Likelihood" not in card
    assert "(images/measured.png)" in card


def load_from_hub(name, cache):
    """What the library leaves in the cache of a data set that was loaded."""
    folder = cache / f"datasets--{name.replace('/', '--')}"
    for file, text in (("refs/main", "c0ffee"), ("snapshots/c0ffee/README.md", "")):
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_text(text)


def test_a_private_folder_is_not_named_like_a_data_set_of_the_hub(use_hub, run):
    change(run, data={"source": "secret/holiday", "text_column": "said"})  # pushed from elsewhere
    use_hub("http://127.0.0.1:9")
    card = card_of(run)
    assert "- `holiday`, a data set of its trainer's" in card
    assert "secret" not in card and "datasets" not in front_matter(card)
    assert hub_dataset("owner/a..b") is None


def test_names_of_data(tmp_path, monkeypatch, use_hub):
    monkeypatch.chdir(tmp_path)
    use_hub("http://127.0.0.1:9")
    load_from_hub("owner/name", tmp_path / "hub_cache")
    (tmp_path / "pictures/cats").mkdir(parents=True)
    assert hub_dataset("owner/name") == "owner/name"
    assert hub_dataset("hf://datasets/owner/name@main/train/*.parquet") == "owner/name"
    for source in ("scenes", "pictures/cats", "pictures/dogs", "/absent/x.parquet", "https://a/b"):
        assert hub_dataset(source) is None
    assert public_name("/home/me/cats.parquet") == public_name("cats.parquet") == "cats.parquet"
    assert public_name("https://me:key@host/cats/0.tar?token=x") == "0.tar"
    assert public_name("C:\\Users\\me\\cats") == "cats"
    mixture = [
        {"source": "owner/name", "weight": 3.0, "text_column": "said"},
        {"source": str(tmp_path / "pictures/cats")},
    ]
    data = describe_data({"data": {"mixture": mixture}}, ("text_to_image",))
    assert data.datasets == ["owner/name"] and not data.of_scenes
    assert data.lines == [
        "75% of the samples: `owner/name`, a data set of the hub (split `train`), texts of `said`",
        "25% of the samples: `cats`, a data set of its trainer's (split `train`), texts of `text`",
    ]
    assert describe_data({"data": {"source": "scenes"}}, ("reconstruction",)).languages == []
    assert describe_data({"data": {"sourse": "scenes"}}, ()) is None
    card = str(ModelCard("owner/name", described("gan", configuration={"data": {"size": 8}})))
    assert front_matter(card)["language"] == ["en"]


def test_the_model_it_went_on_from_is_named_where_it_was_pulled(hub, run, checkpoint):
    change(run, initialize_from="owner/first", tokenizer=None)
    assert "base_model" not in front_matter(card_of(run))  # perhaps a folder that is gone
    hub.store("owner/first", checkpoint)
    open_checkpoint("owner/first")
    assert front_matter(card_of(run))["base_model"] == "owner/first"


@pytest.mark.parametrize("kind", KINDS)
def test_its_commands_can_be_given(kind):
    prompt = """a "red" cat's hat"""
    card = str(ModelCard("owner/name", described(kind, prompt=prompt), "apache-2.0"))
    assert front_matter(card)["license"] == "apache-2.0"
    assert "pip install drawscribe-*.whl" in card
    programs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    commands = block(card, "bash").splitlines()
    assert commands
    for line in commands:
        program, *arguments = shlex.split(line)
        assert program in programs
        read = PARSERS[program.removeprefix("drawscribe-").replace("-", "_")](arguments)
        assert "owner/name" in line
        assert getattr(read, "prompt", None) in (None, [prompt])


def test_its_python_can_be_run(
    hub, checkpoint, dual_encoder_checkpoint, tokenizer_checkpoint, tmp_path, monkeypatch
):
    prompt = """a "red" cat's hat"""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (48, 32), "red").save("picture.png")
    data = {"data": {"source": "scenes", "size": 32}}
    for kind, folder, result in (
        ("bidirectional", checkpoint, "captions"),
        ("tokenizer", tokenizer_checkpoint, "ids"),
        ("dual_encoder", dual_encoder_checkpoint, "scores"),
    ):
        hub.store(f"owner/{kind}", folder)
        tasks, names = open_checkpoint(folder).tasks, {}
        run = described(kind, tasks, prompt=prompt, configuration=data)
        exec(block(str(ModelCard(f"owner/{kind}", run)), "python"), names)
        assert len(names[result]) == 1
        if kind == "tokenizer":
            assert names["pixels"].shape == (1, 3, 32, 32)
