"""scripts/fetch_model against a web server on this machine."""

import contextlib
import hashlib
import http.server
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMMIT = "c0ffee" * 6 + "cafe"
WEIGHTS = bytes(range(256)) * 4000  # about 1 MB


def git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Site(http.server.ThreadingHTTPServer):
    """Serves `files` {path: bytes} with ranges, as both hosts do, and notes
    what was asked. Paths of a repository carry its headers; weights move to
    another address, as they do there."""

    def __init__(self, files):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = files
        self.ranges = True
        self.break_after = None  # bytes of a body before the line goes dead
        self.requests = []  # (method, path, Range)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        site = self.server
        asked = self.headers.get("Range")
        site.requests.append((self.command, self.path, asked))
        path = self.path.replace("/resolve/main/", f"/resolve/{COMMIT}/")
        content = site.files.get(path.removeprefix("/moved"))
        if content is None:
            return self.send_error(404)
        large = path.endswith(".safetensors")
        if "/resolve/" in path and large and not path.startswith("/moved"):
            self.send_response(302)
            self.send_header("Location", "/moved" + path)
            self.send_header("X-Linked-Etag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        start = int(re.match(r"bytes=(\d+)-", asked)[1]) if asked and site.ranges else 0
        if start >= len(content) > 0:
            return self.send_error(416)
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("ETag", f'"{git_hash(content)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if body:
            end = len(content) if site.break_after is None else start + site.break_after
            self.wfile.write(content[start:end])


class FetchModelTest(unittest.TestCase):
    def setUp(self):
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        self.site = stack.enter_context(Site({}))
        threading.Thread(target=self.site.serve_forever, args=(0.01,), daemon=True).start()
        stack.callback(self.site.shutdown)

    def fetch(self, *arguments):
        environment = {**os.environ, "OPENAI_CLIP_URL": self.site.url, "HF_ENDPOINT": self.site.url}
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            environment.pop(name, None)
        return subprocess.run(
            [ROOT / "scripts/fetch_model", f"--to={self.folder}", *arguments],
            env=environment, capture_output=True, text=True, timeout=60)

    def publish(self, content, name="tiny.pt"):
        path = f"/clip/models/{hashlib.sha256(content).hexdigest()}/{name}"
        self.site.files[path] = content
        return self.site.url + path

    def publish_repository(self, files):
        for name, content in files.items():
            self.site.files[f"/some/clip/resolve/{COMMIT}/{name}"] = content

    def assert_files(self, folder, files):
        found = {path.name: path.read_bytes() for path in (self.folder / folder).iterdir()}
        self.assertEqual(found, files)

    def gets(self):
        return [request for request in self.site.requests if request[0] == "GET"]

    def test_fetches_and_verifies_an_address_that_holds_its_hash(self):
        done = self.fetch(self.publish(WEIGHTS))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("zeroshot_server --model=", done.stdout)
        self.assert_files(".", {"tiny.pt": WEIGHTS})

    def test_a_second_run_asks_for_nothing(self):
        url = self.publish(WEIGHTS)
        self.fetch(url)
        self.site.requests.clear()
        done = self.fetch(url)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.site.requests, [])

    def test_a_cut_off_download_goes_on_where_it_stopped(self):
        url = self.publish(WEIGHTS)
        self.site.break_after = 300_000
        done = self.fetch(url)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("run this again to go on", done.stderr)
        self.assertFalse((self.folder / "tiny.pt").exists())
        kept = (self.folder / "tiny.pt.part").stat().st_size
        self.assertGreater(kept, 0)
        self.site.break_after = None
        self.site.requests.clear()
        done = self.fetch(url)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual([request[2] for request in self.gets()], [f"bytes={kept}-"])
        self.assert_files(".", {"tiny.pt": WEIGHTS})

    def test_a_part_that_does_not_fit_is_thrown_away(self):
        for part in (b"x" * 1000, WEIGHTS + b"x", WEIGHTS[:-1] + b"x"):
            with self.subTest(length=len(part)):
                url = self.publish(WEIGHTS)
                (self.folder / "tiny.pt").unlink(missing_ok=True)
                (self.folder / "tiny.pt.part").write_bytes(part)
                done = self.fetch(url)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assert_files(".", {"tiny.pt": WEIGHTS})

    def test_a_server_without_ranges_is_asked_for_all_of_it(self):
        url = self.publish(WEIGHTS)
        self.site.ranges = False
        (self.folder / "tiny.pt.part").write_bytes(WEIGHTS[:1000])
        done = self.fetch(url)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_files(".", {"tiny.pt": WEIGHTS})

    def test_refuses_bytes_of_another_hash(self):
        known = "/40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt"
        self.site.files[known] = WEIGHTS
        done = self.fetch("ViT-B/32")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(hashlib.sha256(WEIGHTS).hexdigest(), done.stderr)
        self.assertIn("40d365715913c9da", done.stderr)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_replaces_a_damaged_file(self):
        url = self.publish(WEIGHTS)
        (self.folder / "tiny.pt").write_bytes(WEIGHTS[:-1])
        done = self.fetch(url)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_files(".", {"tiny.pt": WEIGHTS})

    def test_fetches_a_repository_at_one_commit(self):
        files = {"config.json": b"{}", "model.safetensors": WEIGHTS,
                 "preprocessor_config.json": b'{"size": 224}'}
        self.publish_repository({**files, "pytorch_model.bin": b"not wanted"})
        done = self.fetch("some/clip")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_files("some/clip", files)
        for _, path, _ in self.gets():
            self.assertIn(f"/resolve/{COMMIT}/", path)

    def test_fetches_every_shard_of_a_repository(self):
        index = {"weight_map": {"a": "model-00001-of-00002.safetensors",
                                "b": "model-00002-of-00002.safetensors",
                                "c": "model-00001-of-00002.safetensors"}}
        files = {"config.json": b"{}",
                 "model.safetensors.index.json": json.dumps(index).encode(),
                 "model-00001-of-00002.safetensors": WEIGHTS,
                 "model-00002-of-00002.safetensors": WEIGHTS[::-1]}
        self.publish_repository(files)
        done = self.fetch("some/clip")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_files("some/clip", files)

    def test_fetches_an_open_clip_repository(self):
        files = {"open_clip_config.json": b"{}", "open_clip_model.safetensors": WEIGHTS}
        self.publish_repository({**files, "config.json": b"of something else"})
        done = self.fetch("some/clip")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_files("some/clip", files)

    def test_fetches_pytorch_weights_where_there_are_no_others(self):
        for files in ({"config.json": b"{}", "pytorch_model.bin": WEIGHTS},
                      {"open_clip_config.json": b"{}", "open_clip_pytorch_model.bin": WEIGHTS}):
            with self.subTest(files=list(files)):
                self.site.files.clear()
                self.publish_repository(files)
                shutil.rmtree(self.folder / "some", ignore_errors=True)
                done = self.fetch("some/clip")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assert_files("some/clip", files)

    def test_fetches_what_says_preprocessing_and_tokenizer(self):
        files = {"config.json": b"{}", "model.safetensors": WEIGHTS, "processor_config.json": b"{}",
                 "tokenizer_config.json": b"{}", "tokenizer.json": b"{}"}
        self.publish_repository(files)
        done = self.fetch("some/clip")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_files("some/clip", files)

    def test_fetches_the_tokenizer_that_an_open_clip_configuration_names(self):
        own = {"open_clip_config.json": b'{"model_cfg": {"text_cfg": {"hf_tokenizer_name": "some/words"}}}',
               "open_clip_model.safetensors": WEIGHTS}
        named = {"tokenizer_config.json": b"{}", "tokenizer.json": b"[]"}
        for name, content in named.items():
            self.site.files[f"/some/words/resolve/{COMMIT}/{name}"] = content
        self.publish_repository(own)
        done = self.fetch("some/clip")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_files("some/clip", {**own, **named})
        # The repository's own comes first.
        shutil.rmtree(self.folder / "some")
        own["tokenizer.json"] = b"{}"
        self.publish_repository(own)
        done = self.fetch("some/clip")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_files("some/clip", own)

    def test_says_what_a_repository_lacks(self):
        self.publish_repository({"config.json": b"{}", "tf_model.h5": WEIGHTS})
        done = self.fetch("some/clip")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("no safetensors or .bin weights", done.stderr)
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_refuses_what_it_cannot_verify_or_does_not_know(self):
        for argument, message in ((self.site.url + "/model.pt", "holds no SHA-256"),
                                  ("ViT-B-32", "unknown model 'ViT-B-32'"),
                                  ("--color", "unknown option '--color'")):
            with self.subTest(argument=argument):
                done = self.fetch(argument)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn(message, done.stderr)

    def test_lists_the_published_models(self):
        done = self.fetch("list")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(len(done.stdout.split()), 9)
        self.assertIn("ViT-L/14@336px", done.stdout.split())


if __name__ == "__main__":
    unittest.main()
