"""Attributes that are given: in training, drawing, evaluation, and on resuming."""

import json

import pytest
import torch

from pipelines import evaluate_checkpoint, generate_images, train_gan, train_style_encoder
from pipelines.command_line import UserError
from pipelines.gan_pipeline import GANPipeline
from tests.pipelines.gan.conftest import SMALL, arrays, far

PROMPTS = ["a large red circle", "a small blue star"]
GIVEN = "data.attribute_column=attributes"
OF_SCENES = {
    "small", "large", "red", "green", "blue", "orange", "purple", "black",
    "circle", "square", "triangle", "diamond", "cross", "star",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(trained):
    return trained("adma_gan", "data.size=64", GIVEN)


@pytest.fixture(scope="module")
def pipe(run):
    """Whose affine fusions have learned something, so that attributes count."""
    pipe = GANPipeline.from_pretrained(run, "cpu")
    assert set(pipe.attributes.phrases) == OF_SCENES
    torch.manual_seed(0)
    for block in pipe.generator.network.blocks:
        for fusion in block.fusions:
            for network in (fusion.gain, fusion.shift):
                torch.nn.init.normal_(network[-1].weight, std=1.0)
    return pipe


def test_given_ones_take_the_place_of_those_in_the_prompt(pipe):
    found = arrays(pipe.generate_images(PROMPTS))
    same = arrays(
        pipe.generate_images(PROMPTS, attributes=["large,red,circle", ["Small", "blue", "star"]])
    )
    one_for_all = arrays(pipe.generate_images(PROMPTS, attributes=["large, red, circle"]))
    assert not far(found[0], same[0]) and not far(found[1], same[1])
    assert not far(one_for_all[0], found[0]) and far(one_for_all[1], found[1])
    assert far(arrays(pipe.generate_images(PROMPTS[:1], attributes=[""]))[0], found[0])


def test_a_way_between_given_ones(pipe):
    given = ["green, cross", "red"]
    way = arrays(pipe.interpolate(PROMPTS, 3, seed=3, attributes=given))
    ends = arrays(pipe.generate_images(PROMPTS, seed=3, attributes=given))
    assert not far(way[0], ends[0]) and not far(way[-1], ends[1])
    assert far(way[1], ends[0]) and far(way[1], ends[1])
    one = arrays(pipe.interpolate(PROMPTS[:1], 2, seed=3, attributes=["green, cross"]))
    assert not far(one[0], ends[0])


def test_a_gan_without_memory_refuses_them(trained):
    with pytest.raises(UserError, match="keeps no memory of attributes"):
        GANPipeline.from_pretrained(trained("xmc_gan"), "cpu").generate_images(
            PROMPTS, attributes=["red"]
        )


def draw(checkpoint, folder, *options):
    arguments = ["--checkpoint", str(checkpoint), "--output", str(folder), "--device", "cpu"]
    generate_images.main([*arguments, "--prompt", *PROMPTS, *options])
    lines = (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_command(run, trained, tmp_path):
    rows = draw(run, tmp_path / "found")
    assert [set(row["attributes"]) for row in rows] == [set(text.split()[1:]) for text in PROMPTS]
    assert {row["attributes_from"] for row in rows} == {"the prompt"}
    rows = draw(run, tmp_path / "given", "--attributes", "green; CROSS", "red", "--num-images", "2")
    assert [set(row["attributes"]) for row in rows] == [{"green", "cross"}] * 2 + [{"red"}] * 2
    assert {row["attributes_from"] for row in rows} == {"given"}
    rows = draw(run, tmp_path / "way", "--attributes", "cross", "red", "--interpolate", "3")
    assert [row["attributes"] for row in rows] == ["cross → red"] * 3
    assert rows[0]["attributes_from"] == "given" and rows[1]["way"] == 0.5
    assert "attributes" not in draw(trained("xmc_gan"), tmp_path / "without")[0]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--attributes", "redd"], "'redd'; the nearest ones: red."),
        (["--attributes", "red", "blue", "star"], "given 3 times for 2 prompts"),
    ],
)
def test_command_refuses(options, sentence, run, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        draw(run, tmp_path / "drawn", *options)
    assert stopped.value.code == 2 and sentence in capsys.readouterr().err
    assert not (tmp_path / "drawn").exists()


def test_others_refuse_the_option(trained, checkpoint, tmp_path, capsys):
    for other, sentence in (
        (trained("xmc_gan"), "keeps no memory"),
        (checkpoint, "is for the checkpoint of a GAN"),
    ):
        with pytest.raises(SystemExit):
            draw(other, tmp_path / "drawn", "--attributes", "red")
        assert sentence in capsys.readouterr().err


def measured(run, folder, *options):
    arguments = ["--checkpoint", str(run), "--data", "scenes", "--output", str(folder)]
    evaluate_checkpoint.main(
        [*arguments, "--rows", "4", "--rate", "0", "--device", "cpu", *options]
    )
    return json.loads((folder / "report.json").read_text())


def test_the_report_says_where_attributes_come_from(run, tmp_path):
    found = measured(run, tmp_path / "found")
    assert found["attributes"] == "from the caption" and "attribute_column" not in found
    given = measured(run, tmp_path / "given", "--attribute-column", "attributes")
    assert given["attributes"] == "given" and given["attribute_column"] == "attributes"
    sentences = {"found": "Attributes: from the caption.", "given": "Attributes: given, by the"}
    for name, sentence in sentences.items():
        for page in ("report.md", "report.html"):
            assert sentence in (tmp_path / name / page).read_text(encoding="utf-8")
    assert set(given["figures"]) == set(found["figures"])


def test_given_attributes_are_drawn_in_evaluation(run, tmp_path, monkeypatch):
    """Of the rows and of the sets of scenes."""
    seen = []
    draw_them = GANPipeline.generate_images

    def generate_images(pipe, prompts, *arguments, attributes=None, **options):
        seen.extend(zip(prompts, attributes or [None] * len(prompts), strict=True))
        return draw_them(pipe, prompts, *arguments, attributes=attributes, **options)

    monkeypatch.setattr(GANPipeline, "generate_images", generate_images)
    measured(run, tmp_path / "given", "--attribute-column", "attributes")
    assert len(seen) == 4 + 3 * 4
    for prompt, attributes in seen:
        assert set(attributes) == OF_SCENES & set(prompt.split())
    seen.clear()
    measured(run, tmp_path / "found")
    assert len(seen) == 4 + 3 * 4 and all(attributes is None for _, attributes in seen)


def test_evaluation_refuses(run, trained, tmp_path, capsys):
    (tmp_path / "pictures").mkdir()
    for n in range(3):
        GANPipeline.from_pretrained(run, "cpu").generate_images(PROMPTS[:1])[0].save(
            tmp_path / "pictures" / f"{n}.png"
        )
    rows = [
        {"file_name": f"{n}.png", "text": "a circle", "text_zh": "圆形", "traits": "odd"}
        for n in range(3)
    ]
    (tmp_path / "pictures" / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    own = ["--data", f"{tmp_path / 'pictures'}:train"]
    for other, options, sentence in (
        (run, [*own, "--attribute-column", "traits"], "has none of the attributes that the GAN"),
        (run, [*own, "--attribute-column", "no"], "has no column 'no'"),
        (run, ["--attribute-column", "traits"], "it has attributes and attributes_zh"),
        (trained("xmc_gan"), ["--attribute-column", "attributes"], "this GAN has none"),
        (trained("gan_cls"), [*own, "--text-column", "text_zh"], "'圆形' has the character"),
    ):
        with pytest.raises(SystemExit) as stopped:
            measured(other, tmp_path / "report", *options)
        assert stopped.value.code == 2 and sentence in capsys.readouterr().err


def test_others_than_gans_refuse_a_column_of_attributes(checkpoint, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        measured(checkpoint, tmp_path / "report", "--attribute-column", "attributes")
    assert stopped.value.code == 2 and "a GAN's memory" in capsys.readouterr().err


@pytest.fixture
def train(dual_encoder_checkpoint, tmp_path):
    def train(*options, name="adma_gan"):
        arguments = [
            "--config",
            f"gan/{name}.yaml",
            *SMALL,
            f"text_encoder={dual_encoder_checkpoint}",
        ]
        train_gan.main([*arguments, f"output={tmp_path / 'run'}", *options])

    return train


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([GIVEN], "the run was saved with"),
        (["attributes.number=5"], "attributes, from number 6 on"),
        (["attributes.phrases=[red,blue]"], "and now there are 2,"),
    ],
)
def test_other_attributes_are_refused_on_resuming(options, sentence, train, capsys):
    train()
    with pytest.raises(SystemExit) as stopped:
        train("training.steps=3", *options, "--resume")
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and sentence in error
    assert error.count("error:") == 1 and "Traceback" not in error


def test_another_order_of_attributes_is_refused_on_resuming(train, capsys):
    train("attributes.phrases=[red,blue]")
    with pytest.raises(SystemExit) as stopped:
        train("attributes.phrases=[blue,red]", "training.steps=3", "--resume")
    assert stopped.value.code == 2
    assert "from number 1 on red, blue, and now" in capsys.readouterr().err
    train("attributes.phrases=[red,blue]", "training.steps=3", "--resume")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([GIVEN, "generator.memory=null", "objective.attribute_weight=0",
          "objective.attribute_contrast_weight=0"], "generator.memory, which keeps attributes, is"),
        (["data.attribute_column=traits"], "it has attributes and attributes_zh"),
        ([GIVEN, "attributes.phrases=[oval]"], "no picture has one of attributes.phrases"),
        (["attributes.phrases=[oval]"], "no caption has one of attributes.phrases"),
        (["attributes.phrases=[]"], "phrases is empty"),
    ],
)  # fmt: skip
def test_training_refuses(options, sentence, train, capsys):
    with pytest.raises(SystemExit) as stopped:
        train(*options)
    assert stopped.value.code == 2 and sentence in capsys.readouterr().err


def test_a_style_encoder_learns_with_given_ones(run, trained, tmp_path, capsys):
    small = ["training.minutes=null", "training.steps=1", "training.batch_size=4", GIVEN]
    small += ["base_channels=4", "training.validate_every=0", "training.trackers=[]"]

    def learn(gan, folder):
        arguments = ["--config", "gan/style_encoder.yaml", f"gan={gan}", f"output={folder}"]
        train_style_encoder.main([*arguments, *small])

    learn(run, tmp_path / "style")
    pipe = GANPipeline.from_pretrained(tmp_path / "style", "cpu")
    style = pipe.generate_images(PROMPTS[:1])[0]
    (drawn,) = pipe.generate_images(PROMPTS[:1], style=style, attributes=["green, cross"])
    assert drawn.size == (64, 64)
    with pytest.raises(SystemExit):
        learn(trained("xmc_gan"), tmp_path / "other")
    assert "keeps no attributes" in capsys.readouterr().err
