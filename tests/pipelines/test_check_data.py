"""What check_data.py says of folders and tables, and whether training agrees."""

import json
import re

import datasets
import numpy as np
import pytest
from PIL import Image
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from pipelines import check_data, encode_images, train_bidirectional

TINY = "configs/bidirectional/tiny.yaml"


def picture(number: int, size: tuple[int, int] = (40, 40)) -> Image.Image:
    levels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(levels)


@pytest.fixture
def folder(tmp_path):
    """Twenty pictures of 40 x 40, each with a caption of its own."""
    place = tmp_path / "pictures"
    place.mkdir()
    for number in range(20):
        picture(number).save(place / f"{number:02d}.png")
        (place / f"{number:02d}.txt").write_text(f"picture number {number}", encoding="utf-8")
    return place


@pytest.fixture
def check(capsys):
    """Arguments -> the report, what is said on stderr, and the exit code."""

    def run(*arguments):
        code = 0
        try:
            check_data.main([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return json.loads(out) if out else None, err, code

    return run


def test_a_good_folder(folder, check, tmp_path):
    report, said, code = check("--data", folder, "--size", 32, "--output", tmp_path / "checked")
    assert code == 0 and "Training can start." in said
    assert report["rows"] == {"training": 18, "validation": 2, "unreadable": 0, "reasons": []}
    captions = report["captions"]
    assert captions["rows_by_number_of_captions"] == {"1": 20} and captions["different"] == 20
    # [CLS] picture number 7 [SEP]; of the numbers above 9 each is a word as well.
    assert captions["tokens"] == {"median": 5, "95_percent_within": 5, "longest": 5}
    assert (captions["unknown_tokens"], captions["cut"], captions["tokens_in_all"]) == (0, 0, 60)
    assert report["pictures"]["width_and_height"]["median"] == [40, 40]
    assert report["pictures"]["enlarged"] == report["duplicates"]["superfluous_rows"] == 0
    assert report["problems"] == report["remarks"] == []
    assert json.loads((tmp_path / "checked/report.json").read_text("utf-8")) == report
    assert {file.name for file in (tmp_path / "checked").iterdir()} == {
        "report.json",
        "contact_sheet.png",
    }


def test_what_a_run_can_live_with_is_remarked(folder, check, tmp_path):
    (folder / "03.png").write_bytes(b"no picture")
    (folder / "04.txt").write_text("many " * 80 + "words", encoding="utf-8")
    picture(5, (40, 10)).save(folder / "05.png")
    Image.new("RGB", (40, 40), "red").save(folder / "06.png")
    picture(7).save(folder / "08.bmp")  # beside 08.png, whose caption it then has
    (folder / "lonely.txt").write_text("of no picture", encoding="utf-8")
    (folder / "notes.md").write_text("of no use", encoding="utf-8")
    report, said, code = check("--data", folder, "--size", 32, "--output", tmp_path / "checked")
    assert code == 0
    reasons = report["rows"]["reasons"]
    assert reasons == [
        {"reason": "is not an image that can be decoded", "rows": 1, "first": ["row 3 (03.png)"]}
    ]
    assert (report["captions"]["cut"], report["captions"]["tokens"]["longest"]) == (1, 83)
    assert report["captions"]["longest_text"].endswith("words")
    pictures, duplicates = report["pictures"], report["duplicates"]
    assert (pictures["enlarged"], pictures["cropped_by_a_third"]) == (1, 1)
    assert pictures["of_one_colour"] == 1
    assert pictures["width_and_height"] == {
        "smallest": [40, 10],
        "median": [40, 40],
        "largest": [40, 40],
    }
    assert (duplicates["superfluous_rows"], duplicates["with_different_captions"]) == (1, 1)
    remarks = " ".join(report["remarks"])
    assert re.search(r"left out in .*: 2 \(1 .txt, 1 .md: lonely.txt, notes.md\)", remarks)
    assert "Captions longer than 64 text positions, which are cut: 1 of 20;" in remarks
    assert "- " + report["remarks"][0] in said
    lists = tmp_path / "checked"
    assert (
        (lists / "unreadable.txt").read_text("utf-8").startswith("row 3 (03.png) is not an image")
    )
    assert (lists / "duplicates.txt").read_text("utf-8") == "row 7 (07.png) = row 8 (08.bmp)\n"


def test_a_picture_in_training_and_validation(folder, check):
    for number in range(20):
        picture(0).save(folder / f"{number:02d}.png")
    report, _, code = check("--data", folder)
    assert code == 0 and report["duplicates"]["in_training_and_validation"] == 1
    assert report["duplicates"]["superfluous_rows"] == 19
    assert any("the validation loss flatters" in remark for remark in report["remarks"])


def test_a_tenth_of_the_rows_and_more(folder, check):
    for number in range(3):
        (folder / f"{number:02d}.txt").unlink()
    report, said, code = check("--data", folder)
    assert code == 2 and "Training can start" not in said
    assert report["rows"]["unreadable"] == 3
    (problem,) = report["problems"]
    assert said.splitlines()[-1] == f"error: {problem}"
    assert re.search(r"[23] of 18 rows cannot be read \(row . \(0..png\) has no .txt file", problem)


def test_what_is_wrong_with_captions_is_told_apart(folder, check):
    for number in (2, 3):
        (folder / f"{number:02d}.txt").write_bytes("café".encode("utf-16"))
    (folder / "04.txt").write_bytes("café".encode("latin-1"))
    (folder / "05.txt").write_text(" \n\n", encoding="utf-8")
    (folder / "06.txt").unlink()
    report, _, code = check("--data", folder)
    assert code == 2
    found = {one["reason"]: one["rows"] for one in report["rows"]["reasons"]}
    assert found == {
        "has a .txt file that is not in UTF-8 (save it so)": 3,
        "has a .txt file without a caption": 1,
        "has no .txt file beside it": 1,
    }
    for file in folder.glob("*.txt"):
        file.write_bytes("café".encode("utf-16"))
    report, said, code = check("--data", folder)
    assert (report, code) == (None, 2)
    assert "no captions (00.png has a .txt file that is not in UTF-8 (save it so))" in said


def test_training_stops_where_the_check_says_so(
    folder, check, capsys, tmp_path, tokenizer_checkpoint
):
    for number in range(0, 20, 4):
        (folder / f"{number:02d}.txt").unlink()
    settings = [f"data.source={folder}", f"output={tmp_path / 'run'}", "training.batch_size=50"]
    settings += ["tokenizer_config=null", f"tokenizer={tokenizer_checkpoint}"]
    _, said, code = check("--config", TINY, *settings)
    assert code == 2
    with pytest.raises(SystemExit) as stop:
        train_bidirectional.main(["--config", TINY, "--device", "cpu", *settings])
    assert stop.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "rows cannot be read" in said.splitlines()[-1] and "rows cannot be read" in last


def test_none_of_many_rows_one_after_the_other(check, tmp_path):
    """A folder without captions in a large one: under a tenth, and yet a run gives up there."""
    folder = tmp_path / "many"
    folder.mkdir()
    picture(0, (8, 8)).save(folder / "0.png")
    lines = [{"file_name": "0.png", "text": f"number {row}"} for row in range(2000)]
    for row in range(500, 610):
        lines[row]["text"] = ""
    jsonl = "\n".join(map(json.dumps, lines))
    (folder / "metadata.jsonl").write_text(jsonl, encoding="utf-8")
    config = ("--config", TINY, f"data.source={folder}", f"output={tmp_path / 'run'}")
    report, _, code = check(*config, "data.validation_rows=1")
    assert code == 2 and report["rows"]["unreadable"] == 110
    assert re.match(
        r"none of 100 rows from row 50. \(0.png\) on can be read", report["problems"][0]
    )
    lines[555]["text"] = lines[556]["text"] = "not so here"
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    report, _, code = check(*config, "data.validation_rows=1")
    assert code == 0
    assert any(remark.startswith("5.4% of the rows cannot") for remark in report["remarks"])


def test_validation_rows_without_captions(check, tmp_path):
    for split, text in (("train", "a word"), ("test", None)):
        (tmp_path / split).mkdir()
        for number in range(20):
            picture(number).save(tmp_path / split / f"{number}.png")
        lines = [{"file_name": f"{n}.png", "text": text, "question": f"{n}?"} for n in range(20)]
        lines = [{**line, "answer": "yes"} for line in lines]
        jsonl = "\n".join(map(json.dumps, lines))
        (tmp_path / split / "metadata.jsonl").write_text(jsonl, encoding="utf-8")
    asked = ("objective.question_answering_weight=1", "data.validation_split=test")
    report, said, code = check("--config", TINY, f"data.source={tmp_path}", *asked)
    assert code == 2 and "validated on have no captions" in said.splitlines()[-1]
    assert report["rows"]["unreadable"] == 0  # they have questions
    assert report["questions"]["texts"] == 40


def test_words_that_a_checkpoint_does_not_know(folder, check, checkpoint):
    (folder / "05.txt").write_text("a red Straßenbahn and a red Straßenbahn", encoding="utf-8")
    report, _, code = check("--data", folder, "--checkpoint", checkpoint)
    captions = report["captions"]
    assert code == 0 and captions["text_positions"] == 16
    assert report["pictures"]["size_of_training"] == {"height": 32, "width": 32}
    assert captions["unknown_words"]["Straßenbahn"] == 2
    assert captions["unknown_tokens"] == sum(captions["unknown_words"].values())
    share = captions["unknown_tokens"] / captions["tokens_in_all"]
    assert captions["unknown_token_share"] == share > 0
    assert any("text_tokenizer.vocabulary_size" in remark for remark in report["remarks"])


def test_a_run_of_either_stage(folder, check, tokenizer_checkpoint):
    data = (f"data.source={folder}", "data.size=32")
    report, said, code = check("--config", "configs/tokenizer/tiny.yaml", *data)
    assert code == 0 and "captions" not in report and report["rows"]["training"] == 18
    report, _, code = check("--config", "configs/bidirectional/emoji_64.yaml", *data[:1])
    assert (report, code) == (None, 2)  # it wants text_zh, which .txt files have not
    text = ("data.text_column=text", "tokenizer=runs/to_come")
    report, _, code = check("--config", "configs/bidirectional/emoji_64.yaml", *data, *text)
    assert code == 0 and report["captions"]["text_positions"] == 48
    assert report["remarks"][:2] == [
        "The tokenizer runs/to_come is not there yet; train it first.",
        "A batch of 32 has rows more than once; rows in all: 18.",
    ]
    there = ("data.text_column=text", f"tokenizer={tokenizer_checkpoint}", "data.size=36")
    report, said, code = check("--config", "configs/bidirectional/emoji_64.yaml", *data, *there)
    assert code == 2 and "does not divide" in said


def test_a_gan_and_its_text_encoder(folder, check, dual_encoder_checkpoint):
    data = (f"data.source={folder}", "data.size=32")
    report, _, code = check("--config", "configs/dual_encoder/tiny.yaml", *data)
    captions = report["captions"]
    assert code == 0 and captions["texts"] == 20
    gan = ("--config", "configs/gan/tiny.yaml", *data)
    of_gan, _, code = check(*gan)
    assert code == 0 and of_gan["captions"] == captions  # it trains that dual encoder first
    assert "configs/dual_encoder/tiny.yaml" in of_gan["remarks"][0]
    given = ("text_encoder_config=null", f"text_encoder={dual_encoder_checkpoint}")
    of_gan, _, code = check(*gan, *given)
    assert code == 0 and of_gan["captions"]["vocabulary"] != captions["vocabulary"]
    of_gan, _, code = check(*gan, "text_encoder_config=null", "objective.wrong_pairs_weight=0")
    assert code == 0 and "captions" not in of_gan and of_gan["remarks"][0].startswith("A batch")
    report, said, code = check(*gan, "data.size=36")
    assert (report, code) == (None, 2) and "pictures of 36 x 36 cannot be halved" in said
    report, said, code = check("--config", "configs/gan/style_encoder.yaml", "gan=runs/mine")
    assert (report, code) == (None, 2) and "as its GAN runs/mine does" in said


def test_captions_that_a_character_encoder_does_not_read(folder, check):
    for number in range(20):
        (folder / f"{number:02d}.txt").write_text(f"第{number}张", encoding="utf-8")
    for run in ("gan/gan_cls", "dual_encoder/characters_scenes_64"):
        report, said, code = check("--config", f"configs/{run}.yaml", f"data.source={folder}")
        assert (report, code) == (None, 2) and "the character encoder reads small letters" in said


def test_words_are_not_those_that_an_earlier_run_left(folder, check, tmp_path):
    """In the folder that the YAML writes to, as the docs' command meets it."""
    words = {token: n for n, token in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[BOS]"))}
    backend = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    special = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "bos": "[BOS]"}
    stale = PreTrainedTokenizerFast(
        tokenizer_object=backend, **{f"{name}_token": token for name, token in special.items()}
    )
    stale.save_pretrained(tmp_path / "run" / "text_tokenizer")
    run = (f"data.source={folder}", f"output={tmp_path / 'run'}")
    report, _, code = check("--config", TINY, *run)
    captions = report["captions"]
    assert code == 0 and (captions["tokens"]["longest"], captions["unknown_tokens"]) == (5, 0)
    assert captions["vocabulary"] > len(words)


def test_streams_mixtures_and_scenes(check, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for number in range(20):
        picture(number).save(tmp_path / f"{number}.png")
    cells = [{"bytes": (tmp_path / f"{n}.png").read_bytes(), "path": None} for n in range(20)]
    cells[13]["bytes"] = b"no picture"
    texts = [f"number {n}" for n in range(20)]
    table = datasets.Dataset.from_dict({"image": cells, "text": texts})
    table.to_parquet(tmp_path / "a.parquet", batch_size=4)
    stream = (f"data.source={tmp_path / 'a.parquet'}", "data.streaming=true")
    report, _, code = check("--config", TINY, *stream, "data.validation_rows=6")
    assert code == 0 and report["rows"]["training"] == 14 and report["rows"]["validation"] == 6
    assert report["rows"]["reasons"][0]["first"] == ["row 1 of shard 3"]
    assert report["duplicates"]["superfluous_rows"] == 0
    report, said, code = check("--config", TINY, *stream, "data.validation_rows=21")
    assert (report, code) == (None, 2) and "has 20 rows" in said
    report, said, code = check("--config", TINY, *stream, "data.validation_rows=20")
    assert (report, code) == (None, 2) and "no rows to train on" in said
    mixture = f"data.mixture=[{{source: scenes}}, {{source: {tmp_path / 'a.parquet'}, weight: 3}}]"
    report, said, code = check("--config", TINY, mixture)
    assert code == 2 and "scenes never ends" in said
    report, said, code = check("--config", TINY, mixture, "--rows", 30)
    assert report["rows"]["training"] == 30 + 18 and report["rows"]["validation"] == 30 + 2
    assert "(the first 30 of each)" in said and report["first_rows"] == 30
    assert report["rows"]["reasons"][0]["first"] == [f"row 13 of {tmp_path / 'a.parquet'}"]


def test_a_source_too_small_to_divide(check, folder):
    for number in range(5, 20):
        (folder / f"{number:02d}.png").unlink()
        (folder / f"{number:02d}.txt").unlink()
    report, _, code = check("--data", folder, "--size", 40)
    assert code == 0 and (report["rows"]["training"], report["rows"]["validation"]) == (5, 0)
    assert report["pictures"]["enlarged"] == 0
    assert "Rows too few to keep some for validation: 5;" in report["remarks"][0]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "either --data DATA, or --config"),
        (("--data", "scenes", "--config", TINY), "either --data DATA, or --config"),
        (("--data", "scenes", "data.size=32"), "goes with --config"),
        (("--config", TINY, "--text-column", "text"), "--text-column goes with --data"),
        (("--config", TINY, "--streaming"), "--streaming goes with --data"),
        (("--data", "scenes", "--checkpoint", "x", "--size", "32"), "--size is the checkpoint's"),
        (("--data", "scenes"), "never ends"),
        (("--data", "scenes", "--rows", "0"), "--rows is 0"),
        (("--data", "scenes", "--rows", "5", "--size", "1", "2", "3"), "--size is"),
        (("--data", "scenes", "--rows", "5", "--text-positions", "3"), "--text-positions is 3"),
        (("--data", "nowhere"), "nowhere does not exist"),
        (("--data", "scenes:tset", "--rows", "5"), "tset"),
        (("--data", "scenes", "--rows", "5", "--text-column", "caption"), "no column 'caption'"),
    ],
)
def test_mistakes_get_a_sentence(check, arguments, sentence):
    report, said, code = check(*arguments)
    assert (report, code) == (None, 2)
    assert sentence in said.splitlines()[-1]


def test_pictures_without_captions(folder, check):
    for file in folder.glob("*.txt"):
        file.unlink()
    report, said, code = check("--data", folder)
    assert (report, code) == (None, 2) and "has pictures but no captions" in said
    report, said, code = check("--data", folder, "--text-column")
    assert code == 0 and "captions" not in report and "none are read" in said


def test_pictures_that_metadata_leaves_out(folder, check):
    lines = [{"file_name": f"{n:02d}.png", "text": f"number {n}"} for n in range(12)]
    jsonl = "\n".join(map(json.dumps, lines))
    (folder / "metadata.jsonl").write_text(jsonl, encoding="utf-8")
    report, _, code = check("--data", folder, "--size", 32)
    assert code == 0 and report["captions"]["different"] == 12
    (remark,) = report["remarks"]
    assert ": 28 (20 .txt, 8 .png: " in remark


def test_what_our_own_commands_left_is_not_remarked(folder, check):
    (folder / "begun.json").write_text("{}", encoding="utf-8")
    report, _, code = check("--data", folder, "--size", 32)
    assert code == 0 and report["remarks"] == []


def test_nothing_is_written_among_the_data(folder, check):
    report, said, code = check("--data", folder, "--output", folder / "checked")
    assert (report, code) == (None, 2) and "is inside of the data" in said
    assert not (folder / "checked").exists()


def test_a_caption_of_many_rows(folder, check):
    for number, remarked in ((4, False), (5, True)):
        for row in range(number):
            (folder / f"{row:02d}.txt").write_text("the same", encoding="utf-8")
        report, _, _ = check("--data", folder, "--size", 32)
        assert report["captions"]["most_frequent"] == {"caption": "the same", "rows": number}
        found = [one for one in report["remarks"] if "have the caption 'the same'" in one]
        assert bool(found) is remarked and (not found or found[0].startswith("5 of 20 rows"))


def test_ids_in_the_place_of_pictures(
    folder, check, capsys, tokenizer_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    ids, named = tmp_path / "ids", ["--tokenizer", str(tokenizer_checkpoint), "--size", "32"]
    encode_images.main([*named, "--data", str(folder), "--output", str(ids), "--device", "cpu"])
    capsys.readouterr()
    named = ("tokenizer_config=null", f"tokenizer={tokenizer_checkpoint}")
    report, said, code = check("--config", TINY, f"data.source={ids}", *named)
    assert code == 0 and report["captions"]["texts"] == 20 and "pictures" not in report
    report, said, code = check("--data", ids, "--size", 32)
    assert (report, code) == (None, 2) and "holds ids" in said
