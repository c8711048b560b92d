"""Takes the pictures of docs/demo.md of a running page, in a headless chromium.

    python pipelines/demo.py --checkpoint runs/quickstart/checkpoint
    python tests/pipelines/take_screenshots.py http://127.0.0.1:7860/ docs/images

The second command goes into another terminal. It visits the tabs that there are.
"""

import argparse
import base64
import tempfile
from pathlib import Path

from PIL import Image
from visiting import Visitor, wait_for

SEED = 3
DESK, PHONE = (1180, 620), (390, 844)
HEIGHTS = {"Describe": 580, "Ask": 620, "Complete": 870}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("address", help="of the page")
    parser.add_argument("folder", type=Path, help="where the pictures are written")
    parser.add_argument("--prompt", default="a small blue square")
    parser.add_argument("--question", default="what colour is the circle?")
    parser.add_argument("--picture", type=Path, help="to ask about; by default one that is drawn")
    return parser.parse_args()


def keep(visitor, file):
    """With 256 colours, which is enough for a page, and a quarter of the bytes."""
    visitor.photograph(file)
    with Image.open(file) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(file, optimize=True)
    print(file)


def draw(visitor, prompt, number, best_of):
    visitor.write("Prompt", prompt)
    visitor.choose("Pictures", number)
    visitor.choose("Best of", best_of)
    visitor.write("Seed", str(SEED))
    visitor.press()


def read_back(visitor):
    wait_for(lambda: visitor.shown(".answer figure q"))


def of_drawing(arguments, picture):
    """Draws at a desk and on a phone; the first picture is kept for the other tabs."""
    visitor = Visitor(arguments.address, *DESK)
    draw(visitor, arguments.prompt, 4, 8)
    wait_for(lambda: [share for share, _ in visitor.filling() if share > 8])
    keep(visitor, arguments.folder / "demo_filling_in.png")
    read_back(visitor)
    keep(visitor, arguments.folder / "demo_draw.png")
    address = visitor.shown(".answer figure img")[0].get_attribute("src")
    picture.write_bytes(base64.b64decode(address.split(",")[1]))
    visitor.driver.quit()
    visitor = Visitor(arguments.address, *PHONE)
    draw(visitor, arguments.prompt, 2, 4)
    read_back(visitor)
    keep(visitor, arguments.folder / "demo_phone.png")
    visitor.driver.quit()


def of_a_picture(arguments, tab, picture):
    visitor = Visitor(arguments.address, DESK[0], HEIGHTS[tab])
    visitor.open(tab)
    visitor.upload(picture)
    if tab == "Complete":
        draw(visitor, arguments.prompt, 2, 1)
        read_back(visitor)
    else:
        if tab == "Ask":
            visitor.write("Question", arguments.question)
        visitor.press()
        visitor.answer("log-likelihood")
    keep(visitor, arguments.folder / f"demo_{tab.lower()}.png")
    visitor.driver.quit()


def main():
    arguments = parse_arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    visitor = Visitor(arguments.address, *DESK)
    tabs = visitor.tabs()
    visitor.driver.quit()
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "drawn.png"
        if "Draw" in tabs:
            of_drawing(arguments, drawn)
        for tab in HEIGHTS:
            if tab in tabs:
                of_a_picture(arguments, tab, arguments.picture or drawn)


if __name__ == "__main__":
    main()
