"""Long lists of pictures: folders, files of captions, and going on after a kill."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from pipelines import caption_images

COUNT = 7
SAMPLED = ("--temperature", "1", "--num-captions", "2", "--device", "cpu")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Seven, two of them below another folder, and what is none."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "more").mkdir()
    for n in range(COUNT):
        levels = np.random.default_rng(n).integers(0, 256, (3, 4, 3), dtype=np.uint8)
        place = folder / "more" if n > 4 else folder
        Image.fromarray(levels).resize((40 + n, 50)).save(place / f"{n}.png")
    (folder / "metadata.jsonl").write_text("")
    (folder / "writing.9.png").write_text("half")
    return folder


@pytest.fixture
def command(checkpoint, capsys):
    def run(*arguments):
        """What it prints, and what else it says."""
        capsys.readouterr()
        caption_images.main(["--checkpoint", str(checkpoint), *map(str, arguments)])
        return capsys.readouterr()

    return run


@pytest.fixture
def refusal(checkpoint, capsys):
    def run(*arguments):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            caption_images.main(["--checkpoint", str(checkpoint), *map(str, arguments)])
        assert stop.value.code == 2
        return capsys.readouterr().err.strip().splitlines()[-1]

    return run


def names(lines):
    return [json.loads(line)["image"] for line in lines.splitlines()]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_folder_stands_for_its_pictures(command, pictures):
    files = sorted(pictures.rglob("[0-9].png"))
    of_folder = command(pictures, *SAMPLED).out
    assert names(of_folder) == [str(file) for file in files for _ in range(2)]
    assert of_folder == command(*files, *SAMPLED).out
    assert names(command(files[3], pictures, "--score", "a star").out) == [
        str(file) for file in (files[3], *files)
    ]


def test_what_is_described_beside_a_picture_does_not_matter(command, pictures, monkeypatch):
    whole = command(pictures, *SAMPLED).out
    monkeypatch.setattr("pipelines.caption_parts.PICTURES_AT_ONCE", 4)
    for settings in (SAMPLED, ("--score", "a star", "--score", "a red circle")):
        parts = command(pictures, *settings).out
        assert len(parts.splitlines()) == 2 * COUNT
        if settings is SAMPLED:
            assert parts == whole


@pytest.fixture
def straight(command, pictures, tmp_path, monkeypatch):
    """An unbroken run's file and its index: parts of two pictures."""
    monkeypatch.setattr("pipelines.caption_parts.PICTURES_AT_ONCE", 4)
    assert command(pictures, *SAMPLED, "--output", tmp_path / "a/c.jsonl").out.endswith("c.jsonl\n")
    return tmp_path / "a"


def test_a_file_has_the_lines_that_are_printed(command, pictures, straight):
    assert (straight / "c.jsonl").read_text() == command(pictures, *SAMPLED).out
    assert sorted(contents(straight)) == ["c.begun.json", "c.jsonl"]


@pytest.mark.parametrize("leftover", [b"", b'{"image": "ha', b"one\ntwo\nthree\n"])
def test_killed_and_started_again(command, pictures, straight, tmp_path, monkeypatch, leftover):
    """After the first round, with what a kill in the writing of the second one leaves."""
    killed = tmp_path / "killed"
    take = caption_images.take

    def dying(rows, found, counts):
        if rows.state["parts"] == 2:
            raise KeyboardInterrupt
        take(rows, found, counts)

    with monkeypatch.context() as patch:
        patch.setattr(caption_images, "take", dying)
        with pytest.raises(SystemExit):
            command(pictures, *SAMPLED, "--output", killed / "c.jsonl")
    assert len((killed / "c.jsonl").read_text().splitlines()) == 8
    with (killed / "c.jsonl").open("ab") as file:
        file.write(leftover)
    # However many it would describe together now.
    monkeypatch.setattr("pipelines.caption_parts.PICTURES_AT_ONCE", 128)
    said = command(pictures, *SAMPLED, "--output", killed / "c.jsonl").err
    assert "4/7" in said and contents(killed) == contents(straight)
    command(pictures, *SAMPLED, "--output", killed / "c.jsonl")
    assert contents(killed) == contents(straight)


def test_killed_before_the_first_lines(command, pictures, straight, tmp_path):
    killed = shutil.copytree(straight, tmp_path / "killed")
    index = json.loads((killed / "c.begun.json").read_text())
    index["state"] |= {"parts": 0, "bytes": 0}
    (killed / "c.begun.json").write_text(json.dumps(index))
    (killed / "c.jsonl").unlink()
    command(pictures, *SAMPLED, "--output", killed / "c.jsonl")
    assert contents(killed) == contents(straight)


def test_a_file_of_something_else(refusal, pictures, straight, tmp_path):
    before = contents(straight)
    file = straight / "c.jsonl"
    for change, words in (
        (("--seed", "1"), "(seed was 0, now 1); name a new one"),
        (("--num-captions", "3"), "num_captions was 2, now 3"),
        (("--max-length", "5"), "max_length was none, now 5"),
    ):
        assert words in refusal(pictures, *SAMPLED, *change, "--output", file)
        assert contents(straight) == before
    more = (pictures, pictures / "1.png")
    assert "number of pictures was 7, now 8" in refusal(*more, *SAMPLED, "--output", file)
    (tmp_path / "mine.txt").write_text("keep")
    assert "is there already" in refusal(pictures, "--output", tmp_path / "mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "keep"
    file.write_bytes(before["c.jsonl"][:50])
    assert "has lost lines" in refusal(pictures, *SAMPLED, "--output", file)


def test_a_wrong_setting_leaves_no_file(command, refusal, pictures, tmp_path):
    output = ("--output", tmp_path / "c.jsonl")
    assert "min_length is 99" in refusal(pictures, "--min-length", "99", *output)
    assert "temperature" in refusal(pictures, "--temperature", "-1", *output)
    assert command(pictures, *output).out


def test_unreadable_pictures_of_a_folder_are_left_out(
    command, refusal, pictures, straight, tmp_path, monkeypatch
):
    damaged = shutil.copytree(pictures, tmp_path / "damaged")
    (damaged / "2.png").write_text("no picture")
    (damaged / "3.png").write_text("no picture either")
    written = command(damaged, *SAMPLED)
    expected = (straight / "c.jsonl").read_text().replace(str(pictures), str(damaged))
    rows = [line for line in expected.splitlines() if "2.png" not in line and "3.png" not in line]
    assert written.out.splitlines() == rows
    assert f"Left out: {damaged}/2.png is not an image" in written.err
    assert "2 of 7 pictures cannot be read, and were left out" in written.err
    monkeypatch.setattr("pipelines.data.batches.ROWS_BEFORE_JUDGING", 4)
    assert "rows cannot be read" in refusal(damaged, *SAMPLED)
    for file in damaged.rglob("*.png"):
        file.write_text("no picture")
    monkeypatch.undo()
    assert "none of these pictures can be read" in refusal(damaged)
