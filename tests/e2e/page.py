"""What the tests of the page at `/` share: a server with HTTP, and a browser that has the page open."""

import json
import os
import pathlib
import re
import shutil
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

import browser
import documents

DEMO = documents.SOURCE / "models/demo"
FROG = DEMO / "images/frog.png"
ROCKET = DEMO / "images/rocket.png"
TESTDATA = documents.SOURCE / "tests/testdata/images"
# What was typed is built, and drawn.
READY = "edited().phase === 'ready' && drawing.size === 0"
# Chromium's own word on an answer of 400 or more, which tests of errors cause.
REFUSAL = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")


class HttpServer(documents.Server):
    """Serves gRPC and HTTP, each on a free port."""

    def __init__(self, folder, *flags):
        super().__init__(folder, "--http_listen=127.0.0.1:0", "--drain_grace=0s", *flags)
        self.wait_for(" serving ")
        self.url = re.search(r"HTTP at (http://\S+:\d+)", self.wait_for("HTTP at")).group(1)

    def post(self, path, body, kind="application/json"):
        request = urllib.request.Request(self.url + path, body, {"Content-Type": kind})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


class PageTestCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.browser = browser.Browser(cls.folder / "profile")
        cls.addClassCleanup(cls.browser.close)
        cls.server = cls.start("--image_formats=all")

    @classmethod
    def start(cls, *flags):
        server = HttpServer(cls.folder, *flags)
        cls.addClassCleanup(server.stop)
        return server

    def open(self, server=None, refusals=0, ready=True, **options):
        """A page that is ready; when the test ends it must have had nothing to complain of but so many
        refusals, and have asked no other host."""
        server = server or self.server
        page = browser.Page(self.browser, server.url + "/", **options)
        self.addCleanup(page.close)
        self.addCleanup(lambda: self.check_quiet(page, server, refusals))
        if ready:
            page.wait(READY)
        return page

    def check_quiet(self, page, server, refusals):
        refused = [problem for problem in page.problems if REFUSAL.match(problem)]
        self.assertEqual([problem for problem in page.problems if problem not in refused], [])
        self.assertEqual(len(refused), refusals, refused)
        for url in page.requests:
            self.assertTrue(url.startswith((server.url + "/", "data:image/", "blob:" + server.url + "/")), url)

    def sent(self, page, path):
        return sum(urllib.parse.urlparse(url).path == path for url in page.requests)

    def classes(self, page, text):
        """Types the classes and waits for the classifier to be built."""
        page.type("#classes", text)
        page.wait(READY)

    def add(self, page, *paths):
        page.choose("#files", *paths)
        known = len(page.evaluate("state.images.map((image) => image.name)")) or len(paths)
        page.wait(f"state.images.length >= {known} && state.images.every(({{phase}}) => phase === 'known' || phase === 'failed')")

    def bars(self, page, answer=1):
        """(name, probability in percent) of each row."""
        page.wait(f"document.querySelectorAll('#answers > section:nth-child({answer}) > .bars li').length")
        rows = page.evaluate(f"""[...document.querySelectorAll('#answers > section:nth-child({answer}) > .bars li')].map(
            (row) => [row.querySelector('.name').innerText, row.querySelector('.share').innerText])""")
        return [(name, float(share.replace("\xa0%", ""))) for name, share in rows]

    def cards(self, page):
        return page.evaluate("""[...document.querySelectorAll('.card')].map((card) => ({
            best: [...card.querySelectorAll('.best')].map((best) => best.innerText), name: card.querySelector('.name').innerText}))""")

    def downloaded(self, page, button, name):
        path = self.downloads / name
        page.click(button)
        end = time.monotonic() + browser.SECONDS
        while not path.exists():
            self.assertLess(time.monotonic(), end, f"{name} was not downloaded")
            time.sleep(0.05)
        return path.read_bytes().decode()

    @property
    def downloads(self):
        folder = self.folder / self.id().rpartition(".")[2]
        folder.mkdir(exist_ok=True)
        return folder

    def classify(self, image, **query):
        """The server's own answer to an image."""
        return self.server.post("/v1/classify?" + urllib.parse.urlencode(query), image.read_bytes(), "application/octet-stream")


def main():
    """Runs the tests of the program, where there is a browser."""
    if not browser.program():
        documents.skip(f"no browser: none of {', '.join(browser.PROGRAMS)} is installed; on Debian scripts/setup --tests installs one")
    if not shutil.which("jq"):
        documents.skip("no jq, which the commands that the page shows need; scripts/setup --tests installs it")
    os.environ["no_proxy"] = "127.0.0.1"
    unittest.main(verbosity=2)
