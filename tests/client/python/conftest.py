"""Servers for the tests of the Python client: the real one on the demo model."""

import contextlib
import hashlib
import os
import pathlib
import signal
import subprocess
import sys

import pytest

SOURCE = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(SOURCE / "tests/e2e"))
if "ZEROSHOT_INSTALLED" not in os.environ:  # the package that is installed, as scripts/test-python has it
    sys.path.insert(0, str(SOURCE / "client/python"))

import documents  # noqa: E402

import zeroshot_client  # noqa: E402

IMAGES = sorted((SOURCE / "models/demo/images").iterdir())
FROG = SOURCE / "models/demo/images/frog.png"
CLASSES = (SOURCE / "models/demo/classes.txt").read_text().splitlines()


@contextlib.contextmanager
def frozen(server):
    """In it the server takes no step: what it is asked stays under way, on any machine."""
    os.kill(server.process.pid, signal.SIGSTOP)
    # All its threads have stopped; until then one may still answer.
    os.waitid(os.P_PID, server.process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    try:
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


class Servers:
    """Starts servers, and ends those that are left."""

    def __init__(self, folder):
        self.folder = folder
        self._started = []

    def __call__(self, *flags, listen=None, environment=None, ready=True):
        server = documents.Server(self.folder, "--drain_grace=0s", *flags,
                                  listen=listen or documents.own_address(), environment=environment)
        self._started.append(server)
        if ready:
            server.wait_for(" serving ")
        return server

    def end(self):
        for server in self._started:
            if server.process.poll() is None:
                server.process.kill()
                server.process.wait()


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A server that no test disturbs."""
    servers = Servers(tmp_path_factory.mktemp("server"))
    yield servers("--max_batch_items=16")
    servers.end()


@pytest.fixture(scope="session")
def exact(tmp_path_factory):
    """A client of a server whose vectors do not depend on what else is in a batch."""
    servers = Servers(tmp_path_factory.mktemp("server"))
    with zeroshot_client.Client(servers("--precision=fp32", "--max_batch_items=16").address) as client:
        yield client
    servers.end()


@pytest.fixture
def client(shared):
    with zeroshot_client.Client(shared.address) as client:
        yield client


@pytest.fixture
def pets(client):
    return client.build(["frog", "apple", "car"], ["a photo of a {}.", "a drawing of a {}."])


@pytest.fixture(scope="session")
def labelled(tmp_path_factory):
    """A tree of labelled images: nine classes, and three files' images that are none of these."""
    folder = tmp_path_factory.mktemp("images") / "labelled"
    script = SOURCE / "client/python/examples/augmented_images.py"
    subprocess.run([sys.executable, script, SOURCE / "models/demo/images", folder, "--count=24",
                    "--none=pizza,umbrella,rocket"], check=True)
    return folder


@pytest.fixture
def start(tmp_path):
    """start(*flags): a server of the test's own."""
    servers = Servers(tmp_path)
    yield servers
    servers.end()


@pytest.fixture
def stop():
    """stop(server): at once, as a machine that is lost."""

    def stop(server):
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(60)

    return stop


@pytest.fixture
def loading(start, tmp_path):
    """A server that loads its model until the file that comes with it is removed."""
    held_open = os.environ.get("ZEROSHOT_HELD_OPEN")
    if not held_open:
        pytest.skip("ZEROSHOT_HELD_OPEN is not set; ctest sets it")
    hold = tmp_path / "hold"
    hold.touch()
    environment = {"LD_PRELOAD": held_open, "HELD_OPEN_WHILE": str(hold)}
    return start(environment=environment, ready=False), hold


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """A folder with an authority, and a certificate of it for 127.0.0.1 and one for a client."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority", "-days", "2")
    for name in ("server", "client"):
        openssl("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / "names").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-out", f"{name}.pem", "-days", "2", "-extfile", "names")
    return folder


@pytest.fixture
def tokens(tmp_path):
    """tokens(name="permissions"): the flag for a token file in which a token is its name."""

    def tokens(**permissions):
        path = tmp_path / "tokens"
        path.write_text("".join(f"{name} {allowed} {hashlib.sha256(name.encode()).hexdigest()}\n"
                                for name, allowed in permissions.items()))
        return f"--auth_tokens={path}"

    return tokens
