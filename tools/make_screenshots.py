#!/usr/bin/env python3
"""Writes docs/images/page-*.webp, which docs/page.md shows: the page of build/release's server with
the demo model, in a browser that the tests use too; and report.webp, which docs/decisions.md shows.

    tools/make_screenshots.py    needs scripts/setup --tests, and the font Inter (Debian's fonts-inter)
"""

import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/e2e"))

import browser  # noqa: E402
import documents  # noqa: E402
from page import READY, HttpServer  # noqa: E402

IMAGES = ROOT / "models/demo/images"
MOST_BYTES = 150_000  # of one file
GROUPS = """rocket | vehicle
airplane | vehicle
sailboat | vehicle
car | vehicle
butterfly | animal
penguin | animal
frog | animal | 70 %
sunflower | plant
cactus | plant"""


def settle(page):
    """Nothing is built or drawn, and every image that is in view shows."""
    page.wait(f"{READY} && state.images.every(({{phase}}) => phase === 'known')")
    page.wait("[...document.images].every((image) => image.complete || !image.checkVisibility())")
    page.evaluate("(() => { document.activeElement.blur(); document.querySelector('#classes').scrollTop = 0; scrollTo(0, 0); })()")
    page.evaluate("document.fonts.ready.then(() => new Promise(requestAnimationFrame)).then(() => true)")


def choose(page, *names):
    page.choose("#files", *(next(IMAGES.glob(name + ".*")) for name in names))
    page.wait(f"state.images.length === {len(names)}")


def light(page):
    page.type("#classes", GROUPS)
    page.type("#templates", "a photo of a {}.\na drawing of a {}.\nan emoji of a {}.")
    choose(page, "rocket", "butterfly", "cactus", "penguin", "sailboat", "pizza", "frog", "umbrella", "car", "sunflower")
    page.click("#has-background")
    page.evaluate("(() => { const range = document.querySelector('#threshold'); range.value = 60; range.dispatchEvent(new Event('input')); })()")


def dark(page):
    page.type("#classes", "rocket\nairplane\nsailboat\ncar")
    page.type("#templates", "a photo of a {}.")
    choose(page, "rocket", "car", "sailboat", "penguin", "butterfly")
    page.click("#compare")
    page.type("#classes", "rocket\nairplane\nsailboat\ncar\npenguin\nbutterfly")
    page.type("#templates", "a photo of a {}.\nan emoji of a {}.")


def phone(page):
    page.type("#classes", "sailboat\nrocket\numbrella\npizza\nfrog")
    choose(page, "sailboat", "pizza", "umbrella")


def report(server, folder):
    """The report that docs/decisions.md makes; its URL."""
    environment = {**os.environ, "ZEROSHOT_TARGET": server.address,
                   "PYTHONPATH": f"{documents.PACKAGES}:{ROOT / 'client/python'}"}
    for arguments in (
            ["client/python/examples/augmented_images.py", "models/demo/images", folder / "labelled", "--count=100",
             "--none=pizza,umbrella,rocket"],
            ["-m", "zeroshot_client", "evaluate", folder / "labelled", "--none=none_of_these", "--template_set=simple",
             "--template_set=openai-imagenet-7", "--template_set=openai-imagenet-80", f"--report={folder / 'report.html'}"]):
        subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, check=True)
    return (folder / "report.html").as_uri()


def write(page, file, height=None):
    page.screenshot(file, height)
    print(f"{file.relative_to(ROOT)}: {file.stat().st_size:,} bytes")
    if file.stat().st_size > MOST_BYTES:
        sys.exit(f"{file} has more than {MOST_BYTES:,} bytes")


def main():
    if not browser.program():
        sys.exit("no browser is installed; on Debian scripts/setup --tests installs one")
    folder = ROOT / "docs/images"
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        server = HttpServer(pathlib.Path(temporary), "--precision=fp32")
        chromium = browser.Browser(pathlib.Path(temporary) / "profile")
        try:
            for fill, options in ((light, {"width": 1320, "height": 1250}), (dark, {"width": 1320, "height": 1080, "dark": True}),
                                  (phone, {"width": 390, "height": 844, "touch": True, "scale": 2})):
                page = browser.Page(chromium, server.url + "/", **options)
                page.wait(READY)
                fill(page)
                settle(page)
                write(page, folder / f"page-{fill.__name__}.webp")
            page = browser.Page(chromium, report(server, pathlib.Path(temporary)), width=1100, height=1300)
            page.wait("[...document.images].every((image) => image.complete)")
            write(page, folder / "report.webp")
        finally:
            chromium.close()
            server.stop()


if __name__ == "__main__":
    main()
