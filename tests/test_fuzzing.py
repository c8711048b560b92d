"""Whatever a file holds, its loader takes it or refuses it in one sentence.

Examples are the same at each run; for many more of them:

    pytest tests/test_fuzzing.py --hypothesis-profile=thorough
"""

import io
import json
import random
import shutil
import tarfile
from pathlib import Path

import datasets
import numpy as np
import pytest
import yaml
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipelines import BidirectionalPipeline
from pipelines.command_line import UserError
from pipelines.configuration.loading import load_configuration, read_yaml
from pipelines.configuration.schemas import BidirectionalRun, TokenizerRun
from pipelines.data.columns import TableColumns, TarColumns
from pipelines.data.encoded_index import INDEX, read_index
from pipelines.data.opening import open_source, texts_for_vocabulary
from pipelines.data.settings import DataSettings, TextColumns
from pipelines.data.sources import UnreadableRow
from pipelines.data.text_tokenizer import TextCodec, TextTokenizerSettings, train_text_tokenizer
from pipelines.data.transforms import read_image, to_array
from pipelines.training.checkpoint import open_checkpoint

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "TGA", "ICO", "JPEG2000", "AVIF")
# Text as files bring it: with halves of surrogate pairs, which JSON can spell.
TEXT = st.text(st.characters(codec=None, categories=None), max_size=40)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
DAMAGE = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "repeat", "zero", "insert"]), st.floats(0, 1), st.binary()
    ),
    min_size=1,
    max_size=4,
)


def damaged(content: bytes, damage: list[tuple[str, float, bytes]]) -> bytes:
    for what, share, some in damage:
        place = int(share * max(0, len(content) - 1))
        before, after = content[:place], content[place:]
        if what == "flip" and after:
            content = before + bytes([after[0] ^ 0xFF]) + after[1:]
        elif what == "cut":
            content = before
        elif what == "repeat":
            content = before + after[:8] + after
        elif what == "zero":
            content = before + bytes(len(after[:16])) + after[16:]
        else:
            content = before + some + after
    return content


def encoded(file_format: str) -> bytes | None:
    levels = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    file = io.BytesIO()
    try:
        Image.fromarray(levels).save(file, file_format)
    except (OSError, KeyError):  # a Pillow without it
        return None
    return file.getvalue()


WHOLE = [content for name in FORMATS if (content := encoded(name)) is not None]


@given(st.sampled_from(WHOLE), DAMAGE)
def test_pictures(content, damage):
    try:
        picture = read_image(damaged(content, damage))
    except UserError as error:
        assert "\n" not in str(error)
        return
    assert to_array(picture, (8, 8)).shape == (8, 8, 3)


@pytest.fixture(scope="module")
def codec():
    return TextCodec(train_text_tokenizer(["a red circle", "大红色圆形"], TextTokenizerSettings()))


@given(text=TEXT)
def test_captions(codec, text):
    encoded = codec.encode_caption(text, 8)
    assert 2 <= len(encoded.ids) <= 8
    assert encoded.ids[0] == codec.cls_id and encoded.ids[-1] == codec.sep_id
    assert not {codec.pad_id, codec.bos_id} & set(encoded.ids)
    assert codec.sep_id not in encoded.ids[:-1]
    codec.decode_caption(encoded.ids).encode()


@given(TEXT)
def test_captions_to_train_a_text_tokenizer_on(text):
    try:
        train_text_tokenizer([text, text[::-1]], TextTokenizerSettings(vocabulary_size=20))
    except UserError as error:
        assert "no captions" in str(error)


@given(JSON, st.binary(max_size=30) | st.none())
def test_cells(cell, text):
    both, asked = TextColumns(("text", "zh")), TextColumns((), (("zh", "a"),))
    for columns, cells in (
        (TableColumns("image", TextColumns(("text",))), {"text": cell}),
        (TableColumns("image", asked), {"zh": text and text.decode("latin-1"), "a": cell}),
        (TableColumns("image", asked), {"zh": cell, "a": cell}),
        (TarColumns(both), {"txt": text, "json": json.dumps({"zh": cell}).encode()}),
        (TarColumns(both), {"txt": text, "json": json.dumps(cell).encode()}),
        (TarColumns(TextColumns(("zh",))), {"txt": None, "json": text}),
        (TarColumns(asked), {"txt": None, "json": json.dumps({"zh": cell, "a": cell}).encode()}),
    ):
        try:
            texts = list(columns.texts(cells).every)
        except UnreadableRow:
            continue
        assert texts and all(text.strip() for text in texts)


def read_all(source: DataSettings) -> None:
    """Each row is read or unreadable; a source as a whole is opened or refused."""
    try:
        rows = open_source(source)
    except UserError as error:
        assert "\n" not in str(error)
        return
    for row in range(rows.length):
        try:
            assert rows[row].captions
        except UnreadableRow:
            continue
    list(texts_for_vocabulary(source))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder that each example has to itself."""
    folder = tmp_path_factory.mktemp("fuzzing")

    def empty() -> Path:
        shutil.rmtree(folder)
        folder.mkdir()
        return folder

    return empty


@given(name=st.just("0.png") | TEXT, caption=JSON, line=JSON, damage=DAMAGE)
def test_folders_of_pictures(place, name, caption, line, damage):
    folder = place()
    (folder / "0.png").write_bytes(WHOLE[0])
    lines = json.dumps({"file_name": name, "text": caption}) + "\n" + json.dumps(line)
    (folder / "metadata.jsonl").write_text(lines)
    read_all(DataSettings(source=str(folder)))
    (folder / "metadata.jsonl").write_bytes(damaged(lines.encode(), damage))
    read_all(DataSettings(source=str(folder)))
    (folder / "metadata.jsonl").unlink()
    (folder / "0.txt").write_bytes(damaged(lines.encode(), damage))
    read_all(DataSettings(source=str(folder)))


@given(name=st.just("0.png") | TEXT, number=JSON, caption=JSON, damage=DAMAGE)
def test_captions_as_coco_has_them(place, name, number, caption, damage):
    folder = place()
    (folder / "0.png").write_bytes(WHOLE[0])
    image = {"id": 1, "file_name": name}
    annotations = [{"image_id": 1, "caption": caption}, {"image_id": number, "caption": "a"}]
    whole = json.dumps({"images": [image], "annotations": annotations})
    for content in (whole.encode(), damaged(whole.encode(), damage)):
        (folder / "captions_x.json").write_bytes(content)
        read_all(DataSettings(source=str(folder / "captions_x.json")))


@given(damage=DAMAGE, picture=DAMAGE)
def test_tars(place, monkeypatch_module, damage, picture):
    folder = place()
    with tarfile.open(folder / "0.tar", "w") as tar:
        for name, content in (
            ("0.png", damaged(WHOLE[0], picture)),
            ("0.txt", b"a"),
            ("1.png", WHOLE[0]),
            ("1.txt", damaged(b"a red circle", picture)),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    read_all(DataSettings(source=str(folder)))
    whole = (folder / "0.tar").read_bytes()
    (folder / "0.tar").write_bytes(damaged(whole, damage))
    read_all(DataSettings(source=str(folder)))


@pytest.fixture(scope="module")
def monkeypatch_module(tmp_path_factory):
    """`datasets` keeps what it reads under the user's home: not of these."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path_factory.mktemp("cache"))
        yield


def keys_of(values: dict, prefix: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, value in values.items():
        found.append((*prefix, name))
        if isinstance(value, dict):
            found += keys_of(value, (*prefix, name))
    return found


CONFIGS = (("tokenizer", TokenizerRun), ("bidirectional", BidirectionalRun))


@given(st.sampled_from(CONFIGS), st.randoms(use_true_random=False), JSON, DAMAGE)
def test_configurations(place, chosen, lot: random.Random, value, damage):
    kind, schema = chosen
    whole = Path(__file__).parents[1] / "configs" / kind / "tiny.yaml"
    values = read_yaml(whole) | {"data": {"source": "scenes", "size": 32, "mixture": None}}
    *sections, last = lot.choice(keys_of(values))
    section = values
    for name in sections:
        section = section[name]
    section[last] = value
    file = place() / "run.yaml"
    contents = [yaml.safe_dump(values, allow_unicode=False).encode()]
    for content in [*contents, damaged(whole.read_bytes(), damage)]:
        file.write_bytes(content)
        try:
            load_configuration(file, [], schema)
        except UserError as error:
            assert str(error)


@given(key=TEXT, value=TEXT)
def test_overrides(key, value):
    for override in (f"{key}={value}", f"training.{key}={value}", f"data.mixture={value}", key):
        try:
            load_configuration("tokenizer/tiny.yaml", [override], TokenizerRun)
        except UserError as error:
            assert str(error)


# Not made smaller where one fails: a checkpoint takes its time to load.
@given(lot=st.randoms(use_true_random=False), damage=DAMAGE, value=JSON)
@settings(phases=[Phase.generate], max_examples=settings.default.max_examples // 3)
def test_checkpoints(checkpoint, place, lot: random.Random, damage, value):
    folder = shutil.copytree(checkpoint, place() / "checkpoint")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    chosen = lot.choice(files)
    if chosen.suffix == ".json" and lot.random() < 0.5:
        content = json.loads(chosen.read_text())
        if keys := keys_of(content):
            *sections, last = lot.choice(keys)
            section = content
            for name in sections:
                section = section[name]
            section[last] = value
        chosen.write_text(json.dumps(content))
    elif lot.random() < 0.1:
        chosen.unlink()
    else:
        chosen.write_bytes(damaged(chosen.read_bytes(), damage))
    try:
        open_checkpoint(folder)
        BidirectionalPipeline.from_pretrained(folder, "cpu")
    except UserError as error:
        assert str(error)


@given(value=JSON, damage=DAMAGE)
def test_an_index_of_ids(place, value, damage):
    folder = place()
    whole = {"format_version": 1, "tokenizer": "x", "size": [8, 8], "grid": [1, 1], "crops": 1}
    whole |= {"random_crop": None, "random_flip": False, "seed": 0, "source": "a"}
    whole |= {"text_columns": ["text"]}
    for name in whole:
        for content in (json.dumps(whole | {name: value}).encode(), b""):
            (folder / INDEX).write_bytes(content or damaged(json.dumps(whole).encode(), damage))
            try:
                read_index(folder)
            except UserError as error:
                assert str(error)
