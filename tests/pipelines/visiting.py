"""A browser on the page of `demo.py`, for its tests and for the pictures of its documentation."""

import json
import re
import shutil
import time

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
SECONDS = 90

REMEMBER = r"""
window.filling = [];
new MutationObserver(() => {
    for (const answer of document.querySelectorAll(".answer")) {
        const drawn = answer.textContent.match(/(\d+)% drawn/);
        if (drawn) window.filling.push([Number(drawn[1]), answer.querySelector("img").src]);
    }
}).observe(document.body, { subtree: true, childList: true, characterData: true });
"""


def wait_for(condition):
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    raise TimeoutError(condition)


class Visitor:
    """Sees a page `width` x `height` pixels at a time."""

    def __init__(self, address, width, height):
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "no-proxy-server"):
            options.add_argument(f"--{argument}")
        options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
        self.driver = webdriver.Chrome(options, Service(DRIVER))
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.get(address)
        wait_for(lambda: self.shown("button.primary"))
        self.driver.execute_script(REMEMBER)

    def shown(self, selector):
        found = self.driver.find_elements("css selector", selector)
        return [element for element in found if element.is_displayed()]

    def tabs(self):
        return [button.text for button in self.shown("button[role=tab]")]

    def open(self, tab):
        wait_for(lambda: [b for b in self.shown("button[role=tab]") if b.text == tab])[0].click()
        wait_for(lambda: [b for b in self.shown("button.primary") if b.text == tab])

    def write(self, label, text):
        (box,) = [one for one in self.shown("label") if one.text.startswith(label)]
        field = box.find_element("css selector", "textarea, input")
        field.clear()
        field.send_keys(text)

    def choose(self, label, number):
        (field,) = self.shown(f"input[type=number][aria-label$='{label}']")
        field.clear()
        field.send_keys(f"{number}\t")

    def upload(self, path):
        for clear in self.shown("button[aria-label='Remove Image']"):
            clear.click()
        panels = self.driver.find_elements("css selector", "[role=tabpanel]")
        (panel,) = [panel for panel in panels if panel.is_displayed()]
        wait_for(lambda: panel.find_elements("css selector", "input[type=file]"))[0].send_keys(
            str(path)
        )
        # Shown from the server: it is there.
        wait_for(lambda: panel.find_elements("css selector", "img[src*='/file=']"))

    def press(self):
        (button,) = self.shown("button.primary")
        button.click()

    def answer(self, words):
        """The text of the answer, as soon as it has these."""

        def found():
            text = "\n".join(element.text for element in self.shown(".answer"))
            return text if re.search(words, text) else None

        return wait_for(found)

    def filling(self):
        """Of all that was shown half drawn, however shortly: the share in percent, and the address
        of the first picture."""
        return self.driver.execute_script("return window.filling")

    def requested(self):
        """The addresses of everything that the page has asked for."""
        messages = (json.loads(row["message"]) for row in self.driver.get_log("performance"))
        events = [row["message"] for row in messages]
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def photograph(self, path):
        """From the top of the page."""
        self.driver.execute_script("window.scrollTo(0, 0)")
        time.sleep(0.6)  # until nothing moves any more
        self.driver.save_screenshot(str(path))
