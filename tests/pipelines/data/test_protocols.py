"""A few rows of each data set in its original layout, prepared by the command and read back."""

import json
from pathlib import Path

import pytest
from PIL import Image

from pipelines import prepare_data
from pipelines.data.opening import open_source
from pipelines.data.protocols import PROTOCOLS, coco_14
from pipelines.data.settings import DataSettings, Wanted

QUESTIONS = Wanted(captions=False, questions=True)


def draw(folder: Path, *names: str) -> None:
    """Pictures, each of a colour of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(names):
        Image.new("RGB", (8, 6), (40 * number, 100, 0)).save(folder / name)


def write(file: Path, content: object) -> None:
    """Text as it is, anything else as JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    file.write_text(text, encoding="utf-8")


def coco_names(folder: str, *numbers: int) -> list[str]:
    return [f"COCO_{folder}_{number:012d}.jpg" for number in numbers]


def draw_coco_14(root: Path) -> None:
    """Pictures 1 and 2 to train on, 3 to 7 to measure on."""
    draw(root / "train2014", *coco_names("train2014", 1, 2))
    draw(root / "val2014", *coco_names("val2014", 3, 4, 5, 6, 7))


def write_captions(root: Path, name: str, captions: list[tuple[int, int, str]]) -> None:
    """COCO's JSON: (id, picture, caption)."""
    numbers = sorted({image for _, image, _ in captions})
    content = {
        "images": [
            {"id": n, "file_name": file}
            for n, file in zip(numbers, coco_names(name, *numbers), strict=True)
        ],
        "annotations": [{"id": i, "image_id": n, "caption": text} for i, n, text in captions],
    }
    write(root / "annotations" / f"captions_{name}.json", content)


def make_coco_14(root: Path) -> None:
    draw_coco_14(root)
    write_captions(root, "train2014", [(1, 2, "two "), (2, 1, "one"), (3, 2, "again\ntwo")])
    texts = [(10 * n + k, n, f"caption {k} of {n}") for n in range(3, 8) for k in range(3)]
    write_captions(root, "val2014", [*texts, (98, 4, "\ud800"), (99, 3, "\u2028 ")])


def make_localized_narratives(root: Path) -> None:
    draw(root / "train2017", "000000000001.jpg", "000000000002.jpg")
    draw(root / "val2017", "000000000003.jpg")
    lines = [
        {"image_id": "1", "annotator_id": 5, "caption": "a sofa", "traces": []},
        {"image_id": "2", "annotator_id": 5, "caption": "a cat"},
        {"image_id": "1", "annotator_id": 6, "caption": "a red sofa"},
    ]
    texts = [json.dumps({"dataset_id": "mscoco_train2017", **line}) for line in lines]
    name = "coco_train_localized_narratives-0000{}-of-00002.jsonl"
    write(root / "annotations" / name.format(0), "\n".join(texts[:2]) + "\n")
    write(root / "annotations" / name.format(1), texts[2] + "\n")
    write(root / "coco_val_captions.jsonl", '{"image_id": "3", "caption": "a dog"}\n\n')


def make_cub(root: Path) -> None:
    """The captions' folder spells the second bird otherwise, as some do."""
    images = root / "CUB_200_2011" / "images"
    draw(images / "001.Black_footed_Albatross", "Black_Footed_Albatross_0001_796111.jpg")
    draw(images / "009.Brewer_Blackbird", "Brewer_Blackbird_0001_2279.jpg")
    draw(images / "009.Brewer_Blackbird", "._Brewer_Blackbird_0001_2279.jpg")
    texts = root / "cvpr2016_cub" / "text_c10"
    write(
        texts / "001.Black_footed_Albatross/Black_Footed_Albatross_0001_796111.txt",
        "a large bird .\nit is \ufffd\ufffdbrown .\n",
    )
    write(texts / "009.Brewers_Blackbird/Brewers_Blackbird_0001_2279.txt", "a black bird .\n")
    write(texts / "009.Brewers_Blackbird/._Brewers_Blackbird_0001_2279.txt", "no caption")
    write(texts / "001.Black_footed_Albatross.t7", "no text")
    write(root / "cvpr2016_cub/trainvalclasses.txt", "001.Black_footed_Albatross\n")
    write(root / "cvpr2016_cub/testclasses.txt", "009.Brewers_Blackbird\n")


def make_oxford_102(root: Path) -> None:
    draw(root / "102flowers" / "jpg", *(f"image_0000{n}.jpg" for n in (1, 2, 3)))
    texts = root / "cvpr2016_flowers" / "text_c10"
    write(texts / "class_00001/image_00003.txt", "a pink flower\n")
    write(texts / "class_00002/image_00001.txt", "a flower\nwhite petals\n")
    write(texts / "class_00002/image_00002.txt", "")
    write(root / "cvpr2016_flowers/trainvalclasses.txt", "class_00002\n")
    write(root / "cvpr2016_flowers/testclasses.txt", "class_00001\n")


def make_coco_cn(root: Path) -> None:
    draw_coco_14(root)
    release = root / "coco-cn-version1805v1.1"
    write(release / "coco-cn_train.txt", "COCO_val2014_000000000004\nCOCO_train2014_000000000001\n")
    write(release / "coco-cn_val.txt", "COCO_train2014_000000000002\n")
    write(release / "coco-cn_test.txt", "COCO_val2014_000000000003\r\n")
    written = ["val2014_000000000004#0\t一只猫", "val2014_000000000004#1\t猫\u2028在睡觉"]
    written += ["train2014_000000000001#0\t狗", "train2014_000000000002#0\t鸟"]
    written += ["val2014_000000000003#0\t两个人", "val2014_000000000003#1\t"]
    lines = "".join(f"COCO_{line}\n" for line in written)
    write(release / "imageid.human-written-caption.txt", lines)
    lines = "".join(f"COCO_val2014_000000000003#{n}\t译文{n}\n" for n in range(2))
    write(release / "imageid.manually-translated-caption.txt", lines)


def make_aic_icc(root: Path) -> None:
    for name, date, image in (
        ("train", "20170902", "8f.jpg"),
        ("validation", "20170910", "3b.jpg"),
    ):
        folder = root / f"ai_challenger_caption_{name}_{date}"
        draw(folder / f"caption_{name}_images_{date}", image)
        row = {"url": "http://", "image_id": image, "caption": [f"{name}一", " ", "二"]}
        write(folder / f"caption_{name}_annotations_{date}.json", [row])


def make_fmiqa(root: Path) -> None:
    draw_coco_14(root)
    train = [
        {"image_id": "1", "question_id": "0", "Question": "这是什么？", "Answer": "这是花。"},
        {"image_id": "1", "question_id": "1", "Question": "什么颜色？", "Answer": "红色。"},
        {"image_id": "2", "question_id": "2", "Question": "在哪里？", "Answer": " "},
    ]
    val = [{"image_id": "3", "question_id": "3", "Question": "几个人？", "Answer": "三个。"}]
    write(root / "FM-CH-QA.json", {"train": train, "val": val})


MAKE = {
    "coco_14": make_coco_14,
    "localized_narratives": make_localized_narratives,
    "cub": make_cub,
    "oxford_102": make_oxford_102,
    "coco_cn": make_coco_cn,
    "aic_icc": make_aic_icc,
    "fmiqa": make_fmiqa,
}


@pytest.fixture(autouse=True)
def few_test_rows(monkeypatch):
    monkeypatch.setattr(coco_14, "TEST_ROWS", 3)


def prepare(name: str, tmp_path: Path) -> Path:
    MAKE[name](tmp_path / "original")
    output = tmp_path / "prepared"
    arguments = ["--root", str(tmp_path / "original"), "--output", str(output)]
    prepare_data.main([name, *arguments])
    return output


def rows(output: Path, split: str, column: str | list[str]) -> list[tuple[str, list[str]]]:
    """The pictures' names and captions, as every command reads them."""
    source = open_source(DataSettings(source=str(output), text_column=column), split)
    assert all(source[n].image.size == (8, 6) for n in range(source.length))
    return [(Path(file).name, source[n].captions) for n, file in enumerate(source.files())]


def test_every_protocol_is_tested():
    assert list(MAKE) == list(PROTOCOLS)


def test_coco_14(tmp_path, capsys):
    output = prepare("coco_14", tmp_path)
    said = capsys.readouterr()
    counts = json.loads(said.out)
    assert counts == {"output": str(output), "train": 2, "validation": 2, "test": 3}
    assert "the split train has 2 rows; the published one has 82,783." in said.err
    train = [captions for _, captions in rows(output, "train", "text")]
    assert [sorted(captions) for captions in train] == [["one"], ["again two", "two"]]
    # Known beforehand: whoever draws other captions measures something else.
    test = rows(output, "test", "text")
    assert [(name[-5], captions[0]) for name, captions in test] == [
        ("3", "caption 1 of 3"),
        ("5", "caption 1 of 5"),
        ("6", "caption 2 of 6"),
    ]
    assert all(len(captions) == 3 for _, captions in test)
    names = [name for split in ("validation", "test") for name, _ in rows(output, split, "text")]
    assert sorted(names) == coco_names("val2014", 3, 4, 5, 6, 7)


def test_the_order_of_coco_14_s_file_makes_no_difference(tmp_path):
    first = rows(prepare("coco_14", tmp_path / "a"), "test", "text")
    root = tmp_path / "b" / "original"
    make_coco_14(root)
    file = root / "annotations/captions_val2014.json"
    content = json.loads(file.read_text())
    write(file, {name: found[::-1] for name, found in content.items()})
    prepare_data.main(["coco_14", "--root", str(root), "--output", str(tmp_path / "c")])
    assert rows(tmp_path / "c", "test", "text") == first


def test_localized_narratives(tmp_path):
    output = prepare("localized_narratives", tmp_path)
    assert rows(output, "train", "text") == [
        ("000000000001.jpg", ["a sofa", "a red sofa"]),
        ("000000000002.jpg", ["a cat"]),
        ("000000000001.jpg", ["a red sofa", "a sofa"]),
    ]
    assert rows(output, "test", "text") == [("000000000003.jpg", ["a dog"])]


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [
        (
            "cub",
            [("Black_Footed_Albatross_0001_796111.jpg", ["a large bird .", "it is brown ."])],
            [("Brewer_Blackbird_0001_2279.jpg", ["a black bird ."])],
        ),
        (
            "oxford_102",
            [("image_00001.jpg", ["a flower", "white petals"])],
            [("image_00003.jpg", ["a pink flower"])],
        ),
    ],
)
def test_classes_that_are_measured_on_are_not_trained_on(tmp_path, capsys, name, train, test):
    output = prepare(name, tmp_path)
    assert rows(output, "train", "text") == train
    assert rows(output, "test", "text") == test
    labels = [
        {label for _, found in rows(output, split, "label") for label in found}
        for split in ("train", "test")
    ]
    assert all(labels) and not set.intersection(*labels)
    if name == "cub":
        assert labels[1] == {"009.Brewer_Blackbird"}
    (folder,) = (tmp_path / "original").glob("cvpr2016_*")
    classes = folder / "testclasses.txt"
    classes.write_text(classes.read_text() + (folder / "trainvalclasses.txt").read_text())
    assert "both name class" in refused(capsys, name, tmp_path)


def write_cub_attributes(root: Path) -> None:
    """Of the first bird two, of the second none."""
    write(
        root / "attributes.txt",
        "1 has_bill_shape::curved_(up_or_down)\n2 has_size::large\n3 has_eye_color::black\n",
    )
    folder = root / "CUB_200_2011"
    places = sorted(
        file.relative_to(folder / "images").as_posix()
        for file in (folder / "images").glob("*/[!.]*.jpg")
    )
    write(folder / "images.txt", "".join(f"{n} {place}\n" for n, place in enumerate(places, 1)))
    lines = ["1 1 1 3 27.7", "1 2 0 1 1.5", "1 3 1 2 4.0 0", "2 1 0 3 1.0", "2 2 0 4 2.0"]
    write(folder / "attributes/image_attribute_labels.txt", "\n".join(lines) + "\n")


def test_attributes_of_cub(tmp_path, capsys):
    make_cub(tmp_path / "original")
    write_cub_attributes(tmp_path / "original")
    prepare_data.main(["cub", "--root", str(tmp_path / "original"), "--output", f"{tmp_path}/own"])
    of_birds = [
        json.loads((tmp_path / "own" / split / "metadata.jsonl").read_text())["attributes"]
        for split in ("train", "test")
    ]
    assert of_birds == [["curved bill shape", "black eye color"], []]
    settings = DataSettings(source=str(tmp_path / "own"), attribute_column="attributes")
    source = open_source(settings, wanted=Wanted(attributes=True))
    assert source[0].attributes == ["curved bill shape", "black eye color"]
    for name in ("attributes.txt", "CUB_200_2011/attributes/image_attribute_labels.txt"):
        write(tmp_path / "original" / name, "1 2\n")
        assert "download it again" in refused(capsys, "cub", tmp_path)
        write_cub_attributes(tmp_path / "original")


def test_coco_cn(tmp_path):
    output = prepare("coco_cn", tmp_path)
    assert rows(output, "train", "text_zh") == [
        ("COCO_val2014_000000000004.jpg", ["一只猫", "猫 在睡觉"]),
        ("COCO_train2014_000000000001.jpg", ["狗"]),
    ]
    assert rows(output, "validation", "text_zh") == [("COCO_train2014_000000000002.jpg", ["鸟"])]
    both = rows(output, "test", ["text_zh", "text_zh_translated"])
    assert both == [("COCO_val2014_000000000003.jpg", ["两个人", "译文0", "译文1"])]


def test_aic_icc(tmp_path):
    output = prepare("aic_icc", tmp_path)
    assert rows(output, "train", "text_zh") == [("8f.jpg", ["train一", "二"])]
    assert rows(output, "test", "text_zh") == [("3b.jpg", ["validation一", "二"])]


def test_fmiqa(tmp_path):
    output = prepare("fmiqa", tmp_path)
    settings = DataSettings(source=str(output), text_column=[])
    train, test = (open_source(settings, split, QUESTIONS) for split in ("train", "test"))
    asked = [(file[-5], *train[n].questions) for n, file in enumerate(train.files())]
    assert asked == [("1", ("这是什么？", "这是花。")), ("1", ("什么颜色？", "红色。"))]
    assert test[0].questions == [("几个人？", "三个。")] and test[0].image.size == (8, 6)


def refused(capsys, name: str, tmp_path: Path, output: str = "refused") -> str:
    """The sentence with which the command refuses what is there, leaving nothing behind."""
    before = sorted(tmp_path.iterdir())
    capsys.readouterr()
    arguments = ["--root", str(tmp_path / "original"), "--output", str(tmp_path / output)]
    with pytest.raises(SystemExit) as stop:
        prepare_data.main([name, *arguments])
    assert stop.value.code == 2
    assert sorted(tmp_path.iterdir()) == before
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    return sentence


@pytest.mark.parametrize("name", MAKE)
def test_what_is_not_there_is_named(tmp_path, capsys, name):
    assert "original is not a folder" in refused(capsys, name, tmp_path)
    (tmp_path / "original").mkdir()
    sentence = refused(capsys, name, tmp_path)
    assert "original has no " in sentence and "docs/benchmarks.md" in sentence


@pytest.mark.parametrize("name", MAKE)
def test_missing_pictures_are_counted_and_named(tmp_path, capsys, name):
    MAKE[name](tmp_path / "original")
    first = min((tmp_path / "original").rglob("[!.]*.jpg"))
    first.unlink()
    sentence = refused(capsys, name, tmp_path)
    assert sentence.startswith("error: 1 of ") and f"such as {first};" in sentence


def test_an_output_that_exists_is_left_alone(tmp_path, capsys):
    make_aic_icc(tmp_path / "original")
    (tmp_path / "mine").mkdir()
    assert "mine exists already" in refused(capsys, "aic_icc", tmp_path, "mine")
    (tmp_path / "file").write_text("")
    assert "file/new cannot be written" in refused(capsys, "aic_icc", tmp_path, "file/new")


@pytest.mark.parametrize(
    ("name", "file", "content", "words"),
    [
        ("coco_14", "annotations/captions_val2014.json", [1], "not a JSON of captions as COCO"),
        ("coco_14", "annotations/captions_val2014.json", "{", "not a JSON of captions as COCO"),
        ("localized_narratives", "coco_val_captions.jsonl", "{}", "KeyError 'caption'"),
        ("localized_narratives", "coco_val_captions.jsonl", "", "no row of the split 'test'"),
        ("cub", "cvpr2016_cub/testclasses.txt", "Blackbird", "'Blackbird' is not the name of a cl"),
        ("cub", "cvpr2016_cub/testclasses.txt", "7.Auklet", "no folder of the class 7.Auklet"),
        ("oxford_102", "cvpr2016_flowers/testclasses.txt", "", "no row of the split 'test'"),
        ("coco_cn", "coco-cn-version1805v1.1/coco-cn_val.txt", "1\n", "not a list of names such"),
        (
            "coco_cn",
            "coco-cn-version1805v1.1/imageid.human-written-caption.txt",
            "COCO_val2014_000000000003#0 猫",
            "not lines of ID#0, a tab and a caption",
        ),
        ("fmiqa", "FM-CH-QA.json", {"train": []}, "KeyError 'val'"),
        ("fmiqa", "FM-CH-QA.json", {"train": [{"image_id": "x"}], "val": []}, "KeyError 'Questi"),
    ],
)
def test_files_of_another_form_are_refused(tmp_path, capsys, name, file, content, words):
    MAKE[name](tmp_path / "original")
    write(tmp_path / "original" / file, content)
    sentence = refused(capsys, name, tmp_path)
    assert words in sentence


def test_parts_of_data_sets_are_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(coco_14, "TEST_ROWS", 6)
    make_coco_14(tmp_path / "original")
    assert "5 pictures with captions, of which the protocol draws 6" in refused(
        capsys, "coco_14", tmp_path
    )
    make_localized_narratives(tmp_path / "original")
    next((tmp_path / "original/annotations").glob("*-00001-of-*")).unlink()
    assert "there are 1 files beside" in refused(capsys, "localized_narratives", tmp_path)
