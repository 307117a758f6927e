"""The HTTP API with real clients against the real server: curl, requests, the openai package and
schemathesis; and with strangers who send what no client would. A client that this machine has not
is skipped."""

import base64
import http.client
import importlib.util
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import documents

CLIENTS = documents.SOURCE / ".deps/http-clients"  # scripts/test fetches them
sys.path.insert(0, str(CLIENTS))

IMAGES = documents.SOURCE / "models/demo/images"
FROG = IMAGES / "frog.png"
MIB = 1 << 20


class Server(documents.Server):
    def __init__(self, folder, *flags):
        super().__init__(folder, "--http_listen=127.0.0.1:0", *flags)
        self.url = re.search(r"http://\S+", self.wait_for("HTTP at")).group(0)
        self.port = int(self.url.rsplit(":", 1)[1])
        self.wait_for(" serving ")

    def memory(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) * 1024

    def connect(self, timeout=30):
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout)

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def answer_to(connection, sent):
    """The status of the answer to these bytes; 0: the connection was closed without one."""
    try:
        connection.sendall(sent)
        head = connection.recv(65536)
    except (ConnectionError, socket.timeout):
        return 0
    return int(head.split()[1]) if head else 0


class HttpTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.server = Server(cls.folder)

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0, cls.server.log.read_text()
        cls.temporary.cleanup()

    def curl(self, *arguments):
        done = subprocess.run(["curl", "-sS", "--max-time", "60", "-w", "\n%{http_code}", *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        body, code = done.stdout.rsplit(b"\n", 1)
        return int(code), body

    def curl_json(self, code, *arguments):
        got, body = self.curl(*arguments)
        self.assertEqual(got, code, body)
        return json.loads(body)

    def check_alike(self, answer, other):
        """The same but for rounding: a batch of two images is another product than one image."""
        self.assertEqual(len(answer["predictions"]), len(other["predictions"]))
        for one, two in zip(answer["predictions"], other["predictions"]):
            self.assertEqual(one["class_name"], two["class_name"])
            self.assertAlmostEqual(one["cosine"], two["cosine"], delta=0.005)

    @unittest.skipUnless(shutil.which("curl"), "no curl here")
    def test_curl_classifies(self):
        url = self.server.url
        form = self.curl_json(200, "-F", f"image=@{FROG}", "-F", "classes=frog,car", f"{url}/v1/classify")
        self.assertEqual(form["predictions"][0]["class_name"], "frog")
        raw = self.curl_json(200, "--data-binary", f"@{FROG}", f"{url}/v1/classify?classes=frog,car")
        self.check_alike(raw, form)
        two = self.curl_json(200, "-F", f"image=@{FROG}", "-F", f"image=@{FROG}", "-F", "classes=frog,car",
                             f"{url}/v1/classify")
        self.assertEqual(len(two["items"]), 2)
        for item in two["items"]:
            self.check_alike(item["answer"], form)
        classes = self.folder / "classes.txt"
        classes.write_text("frog\ncar, of steel\n")
        lines = self.curl_json(200, "-F", f"image=@{FROG}", "-F", f"classes=@{classes}", f"{url}/v1/classify")
        self.assertEqual({p["class_name"] for p in lines["predictions"]}, {"frog", "car, of steel"})

    @unittest.skipUnless(shutil.which("curl"), "no curl here")
    def test_curl_builds_with_progress_exports_and_imports(self):
        url = self.server.url
        code, events = self.curl("-N", "-H", "Accept: text/event-stream", "-d",
                                 "class_set=cifar10&template_set=openai-imagenet-7", f"{url}/v1/classifiers")
        self.assertEqual(code, 200)
        self.assertIn(b"event: progress\n", events)
        result = json.loads(events.rsplit(b"event: result\ndata: ", 1)[1])
        file = self.folder / "set.safetensors"
        code, _ = self.curl("-o", str(file), f"{url}/v1/classifiers/{result['weight_set_id']}/file")
        self.assertEqual(code, 200)
        imported = self.curl_json(200, "-T", str(file), "-X", "POST", "-H",
                                  "Content-Type: application/octet-stream", f"{url}/v1/classifiers/import")
        self.assertEqual(imported["weight_set"]["num_classes"], 10)
        one = self.curl_json(200, "-F", f"image=@{FROG}", "-F",
                             f"weight_set_id={imported['weight_set']['weight_set_id']}", f"{url}/v1/classify")
        self.assertEqual(one["predictions"][0]["class_name"], "frog")

    @unittest.skipUnless(shutil.which("curl"), "no curl here")
    def test_a_large_file_waits_for_leave_and_is_refused_before_it_is_sent(self):
        large = self.folder / "large.jpg"
        large.write_bytes(bytes(64 * MIB))
        before = self.server.memory()
        error = self.curl_json(413, "--data-binary", f"@{large}", "-H", "Content-Type: image/jpeg",
                               f"{self.server.url}/v1/classify?classes=a,b")
        self.assertEqual(error["error"]["reason"], "BODY_TOO_LARGE")
        self.assertLess(self.server.memory() - before, 32 * MIB)

    def test_bench_measures_http_too(self):
        address = f"127.0.0.1:{self.server.port}"
        done = subprocess.run([documents.CLIENT, "bench", f"--target={self.server.address}", f"--http={address}",
                               "--classes=frog,car", "--concurrency=2", "--window=200ms", "--max_windows=3", "--json", FROG],
                              stdout=subprocess.PIPE, check=True, timeout=60)
        point = json.loads(done.stdout.splitlines()[-1])
        self.assertGreater(point["calls"], 0)
        self.assertEqual(point["errors"], {})
        wrong = subprocess.run([documents.CLIENT, "bench", f"--target={self.server.address}", f"--http={address}",
                                f"--weight_set={64 * 'a'}", FROG], stderr=subprocess.PIPE, timeout=60, check=False)
        self.assertEqual(wrong.returncode, 1)

    @unittest.skipUnless(importlib.util.find_spec("requests"), "no requests here")
    def test_requests_classifies_and_reads_events(self):
        import requests
        url = self.server.url
        with requests.Session() as session:
            with open(FROG, "rb") as image:
                answer = session.post(f"{url}/v1/classify", files={"image": image},
                                      data={"classes": ["frog", "car"], "top_k": 1}, timeout=60)
            self.assertEqual(answer.status_code, 200, answer.text)
            self.assertEqual(answer.json()["predictions"][0]["class_name"], "frog")
            answer = session.post(f"{url}/v1/classify", timeout=60, json={
                "image": base64.b64encode(FROG.read_bytes()).decode(), "classes": ["frog", "car"]})
            self.assertEqual(answer.json()["predictions"][0]["class_name"], "frog")
            with session.post(f"{url}/v1/classifiers", json={"classes": ["a cat", "a dog"]}, stream=True,
                              headers={"Accept": "text/event-stream"}, timeout=60) as events:
                lines = list(events.iter_lines(decode_unicode=True))
            self.assertIn("event: result", lines)

    @unittest.skipUnless(importlib.util.find_spec("openai"), "no openai package here")
    def test_the_openai_package_embeds_texts_and_images(self):
        import openai
        client = openai.OpenAI(base_url=f"{self.server.url}/v1", api_key="none", max_retries=0)
        model = client.models.list().data[0].id
        image = "data:image/png;base64," + base64.b64encode(FROG.read_bytes()).decode()
        vectors = [item.embedding for item in client.embeddings.create(
            model=model, input=["a photo of a frog.", "a photo of a car.", image]).data]
        plain = [item.embedding for item in client.embeddings.create(
            model=model, input=["a photo of a frog."], encoding_format="float").data]
        for one, other in zip(vectors[0], plain[0]):
            self.assertAlmostEqual(one, other, places=6)
        cosines = [sum(a * b for a, b in zip(text, vectors[2])) for text in vectors[:2]]
        self.assertGreater(cosines[0], cosines[1])
        with self.assertRaises(openai.NotFoundError):
            client.embeddings.create(model="another", input="a")

    @unittest.skipUnless(importlib.util.find_spec("schemathesis"), "no schemathesis here")
    def test_schemathesis_finds_no_5xx_and_no_undocumented_answer(self):
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "run", f"{self.server.url}/openapi.json", "--seed", "1",
             "--max-examples", "15", "--phases", "examples,coverage,fuzzing", "--generation-deterministic",
             "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,"
             "response_schema_conformance"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False,
            cwd=self.folder, env={**os.environ, "PYTHONPATH": str(CLIENTS)})
        self.assertEqual(done.returncode, 0, done.stdout[-8000:])

    def test_the_description_names_every_route(self):
        code, body = self.server.get("/openapi.json")
        self.assertEqual(code, 200)
        api = json.loads(body)
        self.assertEqual(api["openapi"], "3.1.0")
        for path, methods in api["paths"].items():
            for method in methods:
                connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
                # Of a route that there is, the words of a path may be unknown.
                connection.request(method.upper(), re.sub(r"\{.*?\}", "x", path))
                answer = connection.getresponse()
                text = answer.read()
                connection.close()
                self.assertIn(str(answer.status), methods[method]["responses"], (method, path, text))
                if answer.status == 404:
                    self.assertNotIn(b"ROUTE_NOT_FOUND", text)


class StrangersTest(unittest.TestCase):
    """What no client would send. Health answers meanwhile, and memory is bounded."""

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.server = Server(cls.folder, "--client_patience=2s", "--max_request_bytes=8M",
                            "--receive_memory_bytes=64M", "--max_image_bytes=8M")

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0, cls.server.log.read_text()
        cls.temporary.cleanup()

    def check_health(self):
        start = time.monotonic()
        self.assertEqual(self.server.get("/livez"), (200, b"ok\n"))
        self.assertLess(time.monotonic() - start, 5)

    def test_requests_of_two_ends_are_refused(self):
        for head in [
                "Content-Length: 5\r\nTransfer-Encoding: chunked",
                "Transfer-Encoding: chunked\r\nContent-Length: 5",
                "Transfer-Encoding: xchunked",
                "Transfer-Encoding: chunked, identity",
                "Transfer-Encoding: identity",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                "Content-Length: 5\r\nContent-Length: 5",
                "Content-Length: 5, 5",
                "Content-Length: +5",
                "Content-Length : 5",
                "Content-Length: 0x5",
                "Host: b"]:
            with self.server.connect() as connection:
                sent = f"POST /v1/classify HTTP/1.1\r\nHost: a\r\n{head}\r\n\r\n0\r\n\r\n"
                self.assertIn(answer_to(connection, sent.encode()), (400, 413, 415), head)
                # Nothing behind it is taken for a request.
                try:
                    connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
                    rest = connection.recv(65536)
                except ConnectionError:
                    rest = b""
                self.assertNotIn(b"200 OK", rest, head)
        for first in ["GET /livez HTTP/2.0", "GET /livez HTTP/0.9", "PRI * HTTP/2.0", "GET  /livez", "G\0ET / HTTP/1.1",
                      "GET /livez HTTP/1.1\r\nHost"]:
            with self.server.connect() as connection:
                self.assertEqual(answer_to(connection, f"{first}\r\n\r\n".encode()), 400, first)
        with self.server.connect() as connection:
            self.assertEqual(answer_to(connection, b"GET /livez HTTP/1.1\r\n\r\n"), 400)  # no Host
        self.check_health()

    def test_headers_without_end_are_refused(self):
        with self.server.connect() as connection:
            code = answer_to(connection, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + bytes([120]) * MIB)
            self.assertIn(code, (0, 431))
        with self.server.connect() as connection:
            many = b"".join(b"X-%d: y\r\n" % i for i in range(2000))
            self.assertEqual(answer_to(connection, b"GET / HTTP/1.1\r\nHost: a\r\n" + many + b"\r\n"), 431)
        self.check_health()

    def test_thousands_of_parts_and_parts_without_measure_are_refused(self):
        def post(body, boundary="b"):
            with self.server.connect() as connection:
                head = (f"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; "
                        f"boundary={boundary}\r\nContent-Length: {len(body)}\r\n\r\n")
                return answer_to(connection, head.encode() + body)
        part = b"--b\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\nx\r\n"
        before = self.server.memory()
        self.assertEqual(post(part % b"classes" * 20_000 + b"--b--\r\n"), 400)
        self.assertEqual(post(part % b"image" * 500 + b"--b--\r\n"), 400)
        self.assertEqual(post(b"--b\r\nX: " + b"y" * 100_000), 400)
        self.assertEqual(post(b"--b\r\n" + b"X: y\r\n" * 10_000), 400)
        self.assertEqual(post(part % b"classes"), 400)  # no end
        self.assertEqual(post(b"", boundary=""), 400)
        self.assertEqual(post(b"--b--", boundary="x" * 71), 400)
        self.assertLess(self.server.memory() - before, 64 * MIB)
        self.check_health()

    def test_slow_headers_and_bodies_end_and_hold_nobody_up(self):
        slow = []
        for i in range(300):
            connection = self.server.connect()
            slow.append(connection)
            if i % 2:
                connection.sendall(b"GET /livez HTTP/1.1\r\nHo")
            else:
                connection.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
                                   b"Content-Length: 1000000\r\n\r\n123")
        self.check_health()
        # --client_patience=2s: the bodies are refused, the headers end later.
        slow[0].settimeout(30)
        self.assertIn(b" 408 ", slow[0].recv(65536).split(b"\r\n")[0])
        for connection in slow:
            connection.close()
        self.check_health()

    def test_bodies_that_stall_make_room_for_others(self):
        before = self.server.memory()
        stalled = []
        for _ in range(40):  # of 7 MiB: far more than all bodies may take
            connection = self.server.connect()
            connection.settimeout(5)
            stalled.append(connection)
            try:
                connection.sendall(b"POST /v1/classify HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
                                   b"Content-Length: 8000000\r\n\r\n" + bytes(7 * MIB))
            except OSError:
                pass  # refused, which is what is asked for
        self.assertLess(self.server.memory() - before, 64 * MIB)
        self.check_health()
        end = time.monotonic() + 30
        code = 0
        while code != 200 and time.monotonic() < end:
            with self.server.connect() as connection:
                image = FROG.read_bytes()
                code = answer_to(connection, (
                    "POST /v1/classify?classes=frog,car HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
                    f"Content-Length: {len(image)}\r\n\r\n").encode() + image)
            time.sleep(0.2)
        self.assertEqual(code, 200)
        for connection in stalled:
            connection.close()

    def test_answers_that_are_not_taken_end(self):
        with self.server.connect() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            for _ in range(200):
                try:
                    connection.settimeout(0.5)
                    connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n")
                except (socket.timeout, ConnectionError):
                    break
            end = time.monotonic() + 30
            closed = False
            while not closed and time.monotonic() < end:
                time.sleep(0.5)
                try:
                    connection.send(b" ")
                except socket.timeout:
                    pass
                except ConnectionError:
                    closed = True
            self.assertTrue(closed)
        self.check_health()

    def test_a_thousand_idle_connections_starve_nobody(self):
        idle = []
        for _ in range(1000):
            connection = self.server.connect()
            self.assertEqual(answer_to(connection, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"), 200)
            idle.append(connection)
        codes = []
        image = FROG.read_bytes()
        request = ("POST /v1/classify?classes=frog,car HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
                   f"Content-Length: {len(image)}\r\n\r\n").encode() + image

        def call():
            with self.server.connect(120) as connection:
                codes.append(answer_to(connection, request))
        threads = [threading.Thread(target=call) for _ in range(256)]
        for thread in threads:
            thread.start()
        self.check_health()
        for thread in threads:
            thread.join()
        # More than --max_inflight=128 at once may be refused, none is lost.
        self.assertEqual(set(codes) - {200, 429}, set())
        self.assertGreaterEqual(codes.count(200), 128)
        for connection in idle[:20]:
            self.assertEqual(answer_to(connection, b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"), 200)
        for connection in idle:
            connection.close()

    def test_a_connection_that_is_reset_leaves_nothing_behind(self):
        for _ in range(200):
            connection = self.server.connect()
            connection.sendall(b"POST /v1/classify?classes=a,b HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
                               b"Content-Length: 100000\r\n\r\n" + bytes(50_000))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        self.check_health()


if __name__ == "__main__":
    unittest.main()
