"""Long lists of pictures: folders, files of captions, and going on after a kill."""

import json
import os
import shutil
from contextlib import ExitStack

import numpy as np
import pytest
from PIL import Image

from pipelines import caption_images
from pipelines.restarting import held

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
    (folder / "film.mpg").write_text("a film")
    (folder / "page.pdf").write_text("a page")
    (folder / "folder.png").mkdir()
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
    assert sorted(contents(straight)) == ["c.jsonl", "c.jsonl.begun.json"]


@pytest.mark.parametrize("leftover", [b"", b'{"image": "ha', b"one\ntwo\nthree\n"])
def test_killed_and_started_again(command, pictures, straight, tmp_path, monkeypatch, leftover):
    """After the first round, with what a kill in the writing of the second one leaves."""
    killed = tmp_path / "killed"
    take = caption_images.take

    def dying(rows, found):
        if rows.progress.done == 4:
            raise KeyboardInterrupt
        take(rows, found)

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
    index = json.loads((killed / "c.jsonl.begun.json").read_text())
    index["state"] |= {"done": 0, "size": 0}
    (killed / "c.jsonl.begun.json").write_text(json.dumps(index))
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


def test_two_commands_do_not_write_one_file(
    command, refusal, pictures, straight, tmp_path, monkeypatch
):
    words = "another command is at work on the output file"
    before, file = contents(straight), straight / "c.jsonl"
    with held(file, "it"):
        assert words in refusal(pictures, *SAMPLED, "--output", file)
    assert contents(straight) == before
    command(pictures, *SAMPLED, "--output", file)
    # Or both begin.
    new = tmp_path / "new.jsonl"
    begin = caption_images.begin

    def slowly(*arguments):
        begun = begin(*arguments)
        new.touch()
        stack.enter_context(held(new, "it"))
        return begun

    monkeypatch.setattr(caption_images, "begin", slowly)
    with ExitStack() as stack:
        assert words in refusal(pictures, *SAMPLED, "--output", new)
    monkeypatch.undo()
    assert new.read_bytes() == b"" and not (tmp_path / "new.jsonl.begun.json").exists()
    command(pictures, *SAMPLED, "--output", new)


def test_a_file_of_pictures_with_other_names(refusal, straight, pictures, tmp_path):
    other = shutil.copytree(pictures, tmp_path / "other")
    sentence = refusal(other, *SAMPLED, "--output", straight / "c.jsonl")
    assert "(pictures was" in sentence and "number of" not in sentence


def test_a_file_is_begun_with_parts_that_fit(command, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.caption_parts.sequences_that_fit", lambda transformer, most: 4)
    command(pictures, *SAMPLED, "--output", tmp_path / "c.jsonl")
    index = json.loads((tmp_path / "c.jsonl.begun.json").read_text())
    assert index["state"]["together"] == 2


def test_a_wrong_setting_leaves_no_file(command, refusal, pictures, tmp_path):
    output = ("--output", tmp_path / "c.jsonl")
    assert "min_length is 99" in refusal(pictures, "--min-length", "99", *output)
    assert "temperature" in refusal(pictures, "--temperature", "-1", *output)
    assert command(pictures, *output).out


@pytest.fixture
def damaged(pictures, tmp_path):
    """The same folder, and two of its pictures are none."""
    folder = shutil.copytree(pictures, tmp_path / "damaged")
    for number in (2, 3):
        (folder / f"{number}.png").write_text("no picture")
    return folder


def expected_lines(straight, pictures, damaged, *numbers):
    lines = (straight / "c.jsonl").read_text().replace(str(pictures), str(damaged)).splitlines()
    return [line for number in numbers for line in lines if f"/{number}.png" in line]


def test_unreadable_pictures_of_a_folder_are_left_out(
    command, refusal, pictures, straight, damaged
):
    written = command(damaged, *SAMPLED)
    expected = expected_lines(straight, pictures, damaged, 0, 1, 4, 5, 6)
    assert written.out.splitlines() == expected
    assert f"Left out: {damaged}/2.png is not an image" in written.err
    assert written.err.endswith("2 of 7 pictures cannot be read, and were left out.\n")
    for file in damaged.rglob("[0-9].png"):
        file.write_text("no picture")
    assert "none of these pictures can be read" in refusal(damaged)


def test_pictures_that_were_left_out_have_another_turn(
    command, pictures, straight, damaged, tmp_path
):
    file = tmp_path / "out.jsonl"
    written = command(damaged, *SAMPLED, "--output", file)
    readable = expected_lines(straight, pictures, damaged, 0, 1, 4, 5, 6)
    assert file.read_text().splitlines() == readable
    assert "2 of 7 pictures cannot be read" in written.err and "again: it describes" in written.err
    shutil.copy(pictures / "3.png", damaged)
    written = command(damaged, *SAMPLED, "--output", file)
    mended = expected_lines(straight, pictures, damaged, 3)
    assert len(mended) == 2 and file.read_text().splitlines() == [*readable, *mended]
    assert f"Left out: {damaged}/2.png" in written.err and "1 of 7 pictures cannot" in written.err
    shutil.copy(pictures / "2.png", damaged)
    for _ in range(2):
        assert "cannot be read" not in command(damaged, *SAMPLED, "--output", file).err
        last = expected_lines(straight, pictures, damaged, 2)
        assert file.read_text().splitlines() == [*readable, *mended, *last]


def test_a_name_that_is_not_in_utf8_is_left_out(command, refusal, pictures, tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in (b"a.png", b"caf\xe9.png"):
        shutil.copy(pictures / "1.png", os.fsdecode(os.fsencode(folder) + b"/" + name))
    file = tmp_path / "c.jsonl"
    for output in ((), ("--output", file)):
        said = command(folder, *output)
        assert "caf\\udce9.png' has a name that is not in UTF-8" in said.err
        assert "1 of 2 pictures cannot be read" in said.err
    assert names(file.read_text()) == [str(folder / "a.png")]
    assert "not in UTF-8" in refusal(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png"))


@pytest.mark.parametrize("output", ["", ".", "/"])
def test_an_output_without_a_name(refusal, pictures, output):
    assert "which names no file; name a new one" in refusal(pictures, "--output", output)


def test_outputs_that_differ_by_their_endings(command, pictures, tmp_path):
    for ending, more in (("txt", ()), ("jsonl", ("--score", "a star"))):
        command(pictures / "1.png", *more, "--output", tmp_path / f"k.{ending}")
    assert len((tmp_path / "k.jsonl").read_text().splitlines()) == 1


def test_however_many_cannot_be_read_the_others_are_described(
    command, pictures, tmp_path, monkeypatch
):
    monkeypatch.setattr("pipelines.caption_parts.PICTURES_AT_ONCE", 2)
    folder = tmp_path / "many"
    folder.mkdir()
    for n in range(250):
        (folder / f"{n:03d}.png").write_text("no picture")
    shutil.copy(pictures / "1.png", folder / "249.png")
    file = tmp_path / "out.jsonl"
    written = command(folder, "--output", file)
    assert names(file.read_text()) == [str(folder / "249.png")]
    assert "249 of 250 pictures cannot be read" in written.err
