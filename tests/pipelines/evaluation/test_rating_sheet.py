"""Sheets on which people rate pictures: blind, whole, the same every time, and working."""

import json
import re
import shutil
import subprocess
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from pipelines import tally_ratings
from pipelines.command_line import UserError
from pipelines.evaluation.rating_sheet import write_rating_sheet
from pipelines.evaluation.ratings import SCORES, read_key

NAMES = ("cogview", "drawscribe", "xmcgan")
SIZE = (12, 8)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "chromium-headless-shell")


def prompts_of(number):
    return [f"prompt number {n}" for n in range(number)]


def systems_of(number, names=NAMES):
    """Pictures whose colour tells, to these tests alone, the system and the prompt."""
    return {
        name: [Image.new("RGB", SIZE, (40 * place, n // 250, n % 250)) for n in range(number)]
        for place, name in enumerate(names)
    }


def write(folder, number=20, seed=0, prompts=None, systems=None):
    """The sheet's folder and the key's content."""
    write_rating_sheet(
        folder / "sheet",
        folder / "key.json",
        prompts or prompts_of(number),
        systems or systems_of(number),
        seed,
    )
    return folder / "sheet", json.loads((folder / "key.json").read_text(encoding="utf-8"))


class Page(HTMLParser):
    """What a browser would find: texts, attributes, ids."""

    def __init__(self, sheet):
        super().__init__()
        self.texts, self.pictures, self.ids, self.headings, self.tag = [], [], [], [], ""
        self.feed((sheet / "sheet.html").read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tag = tag
        found = dict(attrs)
        self.ids.append(found.get("id"))
        if tag == "img":
            self.pictures.append(found["src"])

    def handle_endtag(self, tag):
        self.tag = ""

    def handle_data(self, data):
        self.texts.append(data)
        if self.tag == "h2":
            self.headings.append(data)


def test_the_key_finds_every_picture(tmp_path):
    sheet, key = write(tmp_path)
    assert sorted(item["row"] for item in key["items"].values()) == list(range(20))
    page = Page(sheet)
    assert page.headings == [item["prompt"] for item in key["items"].values()]
    names = iter(page.pictures)
    for item in key["items"].values():
        assert item["prompt"] == f"prompt number {item['row']}"
        for system in item["systems"].values():
            with Image.open(sheet / next(names)) as picture:
                assert picture.size == SIZE
                assert picture.getpixel((0, 0)) == (40 * NAMES.index(system), 0, item["row"])
    assert {str(path.relative_to(sheet)) for path in sheet.rglob("*.*")} == {
        "sheet.html",
        *page.pictures,
    }


def test_the_page_asks_everything(tmp_path):
    sheet, _ = write(tmp_path, 2)
    ids = set(Page(sheet).ids)
    for item in "12":
        for score in SCORES:
            assert {f"{item}.{label}.{score}.{n}" for label in "ABC" for n in range(1, 6)} <= ids
        for preference in ("quality", "alignment"):
            assert {f"{item}.{preference}.{choice}" for choice in "ABC="} <= ids
    assert read_key(str(tmp_path / "key.json")).questions().keys() <= ids


def test_nothing_that_raters_get_names_a_system(tmp_path):
    systems = systems_of(6)
    for name, pictures in systems.items():
        for place, picture in enumerate(pictures):
            told = PngImagePlugin.PngInfo()
            told.add_text("system", name)
            path = tmp_path / f"{name}{place}.png"
            picture.save(path, pnginfo=told, dpi=(300, 300), icc_profile=name.encode())
            pictures[place] = Image.open(path)
    sheet, _ = write(tmp_path, 6, systems=systems)
    for path in sheet.rglob("*"):
        shown = str(path.relative_to(sheet)).encode() + (
            path.read_bytes() if path.is_file() else b""
        )
        assert not any(name.encode() in shown for name in NAMES), path
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert not picture.info and not picture.getexif()
            chunks = set(re.findall(rb"IHDR|IDAT|IEND|tEXt|iTXt|zTXt|iCCP|pHYs|eXIf", shown))
            assert chunks == {b"IHDR", b"IDAT", b"IEND"}


def test_the_order_tells_nothing(tmp_path):
    """Neither the place of a picture, nor the order of files by time or by name."""
    sheet, key = write(tmp_path, 90)
    orders = [tuple(item["systems"].values()) for item in key["items"].values()]
    for place in range(3):
        assert Counter(order[place] for order in orders) == dict.fromkeys(NAMES, 30)
    assert len({*orders}) == 6
    following = Counter((before[0], after[0]) for before, after in pairwise(orders))
    assert len(following) == 9 and max(following.values()) < 20  # 10 by chance
    rows = [item["row"] for item in key["items"].values()]
    assert abs(np.corrcoef(rows, range(90))[0, 1]) < 0.2
    pictures = sorted((sheet / "pictures").iterdir())
    assert [f"pictures/{path.name}" for path in pictures] == Page(sheet).pictures
    times = [path.stat().st_mtime_ns for path in pictures]
    assert times == sorted(times)


def test_places_are_shared_out_where_prompts_do_not_divide(tmp_path):
    _, key = write(tmp_path, 11)
    for label in "ABC":
        placed = Counter(item["systems"][label] for item in key["items"].values())
        assert {*placed.values()} <= {2, 3, 4, 5} and placed.total() == 11


def test_the_same_arguments_give_the_same_bytes(tmp_path):
    for name, seed in (("one", 0), ("two", 0), ("other", 1)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, seed=seed)
    one, two, other = (
        {path.relative_to(top): path.read_bytes() for path in top.rglob("*.*") if path.is_file()}
        for top in (tmp_path / "one", tmp_path / "two", tmp_path / "other")
    )
    assert one == two
    ids = {
        json.loads((tmp_path / name / "key.json").read_text())["sheet"] for name in ("one", "other")
    }
    assert len(ids) == 2 and one.keys() == other.keys()


def test_other_pictures_make_another_sheet(tmp_path):
    (tmp_path / "changed").mkdir()
    _, key = write(tmp_path, 5)
    systems = systems_of(5)
    systems["xmcgan"][4].putpixel((3, 3), (1, 2, 3))
    _, changed = write(tmp_path / "changed", 5, systems=systems)
    assert key["sheet"] != changed["sheet"]


def test_texts_are_escaped_and_chinese(tmp_path):
    prompts = [
        "</script><script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "一只小猫 & 狗",
    ]
    sheet, key = write(tmp_path, 3, prompts=prompts)
    page = Page(sheet)
    assert page.headings == [item["prompt"] for item in key["items"].values()]
    assert sorted(page.headings) == sorted(prompts)
    assert len(page.pictures) == 9
    html = (sheet / "sheet.html").read_text(encoding="utf-8")
    assert html.count("<script>") == 1 and '<meta charset="utf-8">' in html


def test_the_page_needs_nothing_from_elsewhere(tmp_path):
    sheet, _ = write(tmp_path, 2)
    html = (sheet / "sheet.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]+\.|\bimport\b|@import|url\(", html)
    assert not re.search(r"<(link|script) [^>]*(href|src)=", html)


def test_a_key_where_raters_would_get_it_is_refused(tmp_path):
    for inside in ("sheet/key.json", "sheet/deeper/key.json", "other/../sheet/key.json", "sheet"):
        with pytest.raises(UserError, match="name a file outside of it"):
            write_rating_sheet(
                tmp_path / "sheet", tmp_path / inside, prompts_of(1), systems_of(1), 0
            )
    (tmp_path / "sheet").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "sheet")
    with pytest.raises(UserError, match="name a file outside of it"):
        write_rating_sheet(
            tmp_path / "sheet", tmp_path / "link/key.json", prompts_of(1), systems_of(1), 0
        )
    assert not any((tmp_path / "sheet").iterdir())


@pytest.mark.parametrize(
    ("prompts", "systems", "sentence"),
    [
        ([], systems_of(0), "there is no prompt"),
        (prompts_of(1), systems_of(1, NAMES[:1]), "1 systems cannot be compared"),
        (prompts_of(2), systems_of(1), "'cogview' has 1 pictures of 2 prompts"),
        (prompts_of(1), systems_of(1, ("one", "=")), "named '='"),
        (
            prompts_of(1),
            {"one": [Image.new("RGB", (4, 4))], "two": [Image.new("RGB", (8, 8))]},
            "differ in size (4 x 4 of 'one', 8 x 8 of 'two')",
        ),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(tmp_path, prompts, systems, sentence):
    with pytest.raises(UserError, match=re.escape(sentence)):
        write_rating_sheet(tmp_path / "sheet", tmp_path / "key.json", prompts, systems, 0)
    assert not any(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path):
    write(tmp_path, 2)
    before = (tmp_path / "key.json").read_bytes()
    with pytest.raises(UserError, match=r"key\.json exists already"):
        write(tmp_path, 3)
    (tmp_path / "key.json").rename(tmp_path / "kept.json")
    with pytest.raises(UserError, match="sheet exists already"):
        write(tmp_path, 3)
    assert (tmp_path / "kept.json").read_bytes() == before and len(
        Page(tmp_path / "sheet").pictures
    ) == 6


def test_an_interrupted_sheet_is_none(tmp_path, monkeypatch):
    (tmp_path / "sheet").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr("pipelines.evaluation.rating_sheet.replace_file", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, 2)
    assert not any((tmp_path / "sheet").iterdir()) and not (tmp_path / "key.json").exists()
    write(tmp_path, 2)
    assert {path.name for path in tmp_path.iterdir()} == {"sheet", "key.json"}


def interrupt(*_):
    raise KeyboardInterrupt


# What a rater does and sees. Each loading of the page takes the next step; the last one shows all
# that was seen to the test.
RATER = """
<pre id="seen">{}</pre>
<script>
(() => {
const seen = JSON.parse(sessionStorage.getItem("seen") ?? "{}");
const progress = () => byId("progress").textContent;
const place = () => byId("place").textContent;
const press = (key, more) => document.activeElement.dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
const write = (name) => {
    byId("rater").value = name;
    byId("rater").dispatchEvent(new Event("input", { bubbles: true }));
};
let blob;
window.alert = () => { seen.alerts = (seen.alerts ?? 0) + 1; };
window.confirm = () => true;
HTMLAnchorElement.prototype.click = function () { seen.download = this.download; };
URL.createObjectURL = (given) => { blob = given; return "blob:"; };
function answerSome() {
    seen.start = [progress(), place(), sections.map((section) => section.checkVisibility())];
    byId("save").click();
    write(" Anna Müller/1 ");
    byId("rater").focus();
    press("3");
    seen.typed = Object.keys(state.answers).length;
    show(0);
    for (const key of "543212345") press(key);
    press("b");
    press("=");
    seen.one = progress();
    press("Enter");
    seen.forth = place();
    press("Enter", { shiftKey: true });
    seen.back = place();
    byId("2.C.relevance.4").click();
    byId("2.C.relevance.2").click();
    location.reload();
}
async function save() {
    seen.again = [progress(), place(), document.querySelectorAll("input:checked").length];
    byId("next").click();
    byId("unanswered").click();
    seen.unanswered = place();
    byId("save").click();
    seen.saved = await blob.text();
    const images = [...document.images].filter((image) => image.checkVisibility());
    await Promise.all(images.map((image) => image.decode()));
    seen.widths = images.map((image) => image.naturalWidth);
    byId("clear").click();
}
function showAll() {
    seen.cleared = [progress(), byId("rater").value];
    byId("seen").textContent = JSON.stringify(seen);
}
const steps = [answerSome, save, showAll];
window.addEventListener("pagehide", () => sessionStorage.setItem("seen", JSON.stringify(seen)));
seen.step = (seen.step ?? -1) + 1;
steps[seen.step]();
})();
</script>
"""


@pytest.mark.slow
def test_a_rater_at_the_page(tmp_path, capsys):
    """Keys, clicks, a reload, a saved file that is tallied, and a new start."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip("needs Chromium or Chrome")
    sheet, key = write(tmp_path, prompts=["一只小猫", "a dog", "</h2>"], systems=systems_of(3))
    html = (sheet / "sheet.html").read_text(encoding="utf-8")
    (sheet / "sheet.html").write_text(html.replace("</body>", RATER + "</body>"), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000"]
    run = subprocess.run(
        [browser, *options, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
         (sheet / "sheet.html").as_uri()],
        capture_output=True, text=True, encoding="utf-8", timeout=120,
    )  # fmt: skip
    found = re.search(r'<pre id="seen">(.*?)</pre>', run.stdout, re.DOTALL)
    assert found, run.stderr
    seen = json.loads(unescape(found[1]))
    assert seen["start"] == ["0 of 3 done", "Text 1", [True, False, False]]
    assert seen["alerts"] == 1 and seen["typed"] == 0  # saving without a name; a digit in the name
    assert seen["one"] == "1 of 3 done"
    assert (seen["forth"], seen["back"]) == ("Text 2", "Text 1")
    assert seen["again"] == ["1 of 3 done", "Text 2", 12]
    assert seen["unanswered"] == "Text 2" and seen["widths"] == [SIZE[0]] * 3
    assert seen["cleared"] == ["0 of 3 done", ""]
    assert seen["download"] == "ratings-Anna-Müller-1.json"
    saved = json.loads(seen["saved"])
    assert saved["sheet"] == key["sheet"] and saved["rater"] == "Anna Müller/1"
    scores = dict(
        zip(
            (f"1.{at}.{name}" for at in "ABC" for name in SCORES),
            [5, 4, 3, 2, 1, 2, 3, 4, 5],
            strict=True,
        )
    )
    assert saved["answers"] == {**scores, "1.quality": "B", "1.alignment": "=", "2.C.relevance": 2}
    (tmp_path / seen["download"]).write_text(seen["saved"], encoding="utf-8")
    tally_ratings.main(["--key", str(tmp_path / "key.json"), str(tmp_path / seen["download"])])
    assert "| Anna Müller/1 | 12 | 1 |" in capsys.readouterr().out
