"""docs/clients.md's service config with Python's gRPC against the real server: a load that takes
long, a server that is full, a restart."""

import concurrent.futures
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import documents

documents.need_python_packages()

import grpc  # noqa: E402

HELD_OPEN = os.environ["ZEROSHOT_HELD_OPEN"]
SERVICE = "zeroshot.v1.ZeroShot"
FROG = (documents.SOURCE / "models/demo/images/frog.png").read_bytes()


def documented_config():
    document = (documents.SOURCE / "docs/clients.md").read_text()
    return next(text for language, text in documents.blocks(document) if language == "json")


def retries_only(*codes):
    """Pauses of a millisecond, which are over at once: only the server's own word makes longer ones."""
    return json.dumps({"methodConfig": [{"name": [{"service": SERVICE}], "retryPolicy": {
        "maxAttempts": 5, "initialBackoff": "0.001s", "maxBackoff": "0.001s", "backoffMultiplier": 1,
        "retryableStatusCodes": list(codes)}}]})


class PythonClientTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.pb, cls.stubs = documents.generated_stubs(cls.folder)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def stub(self, address, config=None):
        options = [("grpc.use_local_subchannel_pool", 1)]
        if config is not None:
            options.append(("grpc.service_config", config))
        channel = grpc.insecure_channel(address, options=options)
        self.addCleanup(channel.close)
        return self.stubs.ZeroShotStub(channel)

    def server(self, *flags, **more):
        server = documents.Server(self.folder, *flags, **more)
        self.addCleanup(lambda: server.process.poll() is None and (server.process.kill(), server.process.wait()))
        return server

    def loading_server(self):
        """A server that loads its model until the file that comes with it is removed."""
        hold = self.folder / f"hold-{time.monotonic_ns()}"
        hold.touch()
        return self.server(environment={"LD_PRELOAD": HELD_OPEN, "HELD_OPEN_WHILE": str(hold)}), hold

    def get_model(self, stub):
        return stub.GetModel(self.pb.GetModelRequest(), timeout=240)

    def test_without_a_config_a_server_that_loads_is_an_error(self):
        server, _ = self.loading_server()
        with self.assertRaises(grpc.RpcError) as raised:
            self.get_model(self.stub(server.address))
        self.assertEqual(raised.exception.code(), grpc.StatusCode.UNAVAILABLE)
        self.assertIn("loading", raised.exception.details())
        pushback = dict(raised.exception.trailing_metadata())["grpc-retry-pushback-ms"]
        self.assertGreaterEqual(int(pushback), 1000)

    def test_with_the_documented_config_a_call_waits_for_a_long_load(self):
        server, hold = self.loading_server()
        with concurrent.futures.ThreadPoolExecutor() as threads:
            call = threads.submit(self.get_model, self.stub(server.address, documented_config()))
            # Five attempts without health checks and the server's word would be over by then.
            with self.assertRaises(concurrent.futures.TimeoutError):
                call.result(timeout=20)
            hold.unlink()
            self.assertTrue(call.result().name)

    def test_the_servers_word_replaces_the_backoff_while_it_loads(self):
        server, hold = self.loading_server()
        with concurrent.futures.ThreadPoolExecutor() as threads:
            begun = time.monotonic()
            call = threads.submit(self.get_model, self.stub(server.address, retries_only("UNAVAILABLE")))
            server.wait_for("still loading")
            hold.unlink()
            self.assertTrue(call.result().name)
            self.assertGreaterEqual(time.monotonic() - begun, 0.95)

    def test_the_servers_word_replaces_the_backoff_while_it_is_full(self):
        server = self.server("--max_inflight=1")
        plain = self.stub(server.address, json.dumps({"methodConfig": [{"name": [{}], "waitForReady": True}]}))
        server.wait_for(" serving ")
        built = plain.BuildClassifier(self.pb.BuildClassifierRequest(
            classes=[self.pb.ClassDefinition(name=name) for name in ("frog", "car")]), timeout=60)
        request = self.pb.ClassifyRequest(image=FROG, weight_set_id=built.weight_set_id)

        def refusal(stub):
            try:
                stub.Classify(request, timeout=240)
            except grpc.RpcError as error:
                return error
            return None

        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            refusals = []
            while not refusals:
                refusals = list(filter(None, threads.map(lambda _: refusal(plain), range(64))))
            self.assertEqual(refusals[0].code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
            self.assertEqual(dict(refusals[0].trailing_metadata())["grpc-retry-pushback-ms"], "500")
            # A call that finds the server full is made again after half a second; only one that finds
            # it full five times fails, after two.
            retrying = self.stub(server.address, retries_only("RESOURCE_EXHAUSTED"))

            def timed(_):
                begun = time.monotonic()
                refused = refusal(retrying)
                return refused, time.monotonic() - begun

            longest = 0
            while longest < 0.45:
                for refused, took in threads.map(timed, range(2)):
                    longest = max(longest, took)
                    if refused:
                        self.assertEqual(refused.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
                        self.assertGreater(took, 1.9)

    def test_the_documented_client_survives_a_restart(self):
        document = (documents.SOURCE / "docs/clients.md").read_text()
        script = next(text for language, text in documents.blocks(document) if language == "python")
        (self.folder / "classify.py").write_text(script)
        (self.folder / "service_config.json").write_text(documented_config())
        images = sorted((documents.SOURCE / "models/demo/images").iterdir()) * 100
        for stop in (signal.SIGTERM, signal.SIGKILL):
            server = self.server("--drain_grace=0s", listen=documents.own_address())
            server.wait_for(" serving ")
            # Its answers are read through one reader to the end: communicate() would lose what
            # readline() had read ahead. Its errors go to a file, which never fills up.
            with tempfile.TemporaryFile("w+") as errors, subprocess.Popen(
                    [sys.executable, "-u", str(self.folder / "classify.py"), server.address,
                     str(self.folder / "service_config.json"), *map(str, images)],
                    env={**os.environ, "PYTHONPATH": f"{self.folder}:{documents.PACKAGES}"},
                    stdout=subprocess.PIPE, stderr=errors, text=True) as client:
                too_late = threading.Timer(600, client.kill)
                self.addCleanup(too_late.cancel)
                too_late.start()
                lines = [client.stdout.readline()]
                server.process.send_signal(stop)
                server.process.wait(120)
                again = self.server(listen=server.address)
                lines += client.stdout.readlines()
                status = client.wait()
                too_late.cancel()
                errors.seek(0)
                self.assertEqual(status, 0, errors.read())
            answered = [line.rsplit(": ", 1)[0] for line in lines]
            self.assertEqual(answered, list(map(str, images)))
            again.stop()


if __name__ == "__main__":
    unittest.main()
