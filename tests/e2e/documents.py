"""What the end-to-end tests in Python share: the blocks of a document, generated stubs, a
real server, and a place with the network to itself."""

import contextlib
import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("ZEROSHOT_BINARY_DIR", SOURCE / "build/release"))
SERVER = BINARY / "server/zeroshot_server"
CLIENT = BINARY / "client/zeroshot_client"
PACKAGES = SOURCE / ".deps/python-client"
SKIPPED = 77  # ctest's SKIP_RETURN_CODE


def skip(why):
    print(f"SKIPPED: {why}")
    sys.exit(SKIPPED)


def need_python_packages():
    """Makes grpc importable, here and in programs that are started."""
    sys.path.insert(0, str(PACKAGES))
    os.environ["PYTHONPATH"] = str(PACKAGES)
    try:
        import grpc  # noqa: F401
        import grpc_tools  # noqa: F401
        import numpy  # noqa: F401
    except ImportError as error:
        skip(f"{error}: no Python packages for this Python in .deps/python-client; scripts/test fetches them")


def generated_stubs(folder):
    """The modules of the contract, messages and stubs, generated into the folder."""
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{SOURCE}/proto", f"--python_out={folder}",
                    f"--grpc_python_out={folder}", "zeroshot/v1/zeroshot.proto"], check=True)
    sys.path.insert(0, str(folder))
    from zeroshot.v1 import zeroshot_pb2, zeroshot_pb2_grpc
    return zeroshot_pb2, zeroshot_pb2_grpc


def blocks(document):
    """(language, text) of each code block: fenced, or indented by four spaces."""
    result, fence, indented = [], None, []
    for line in document.splitlines():
        if fence is not None:
            if line.startswith("```"):
                result.append((fence[0], "\n".join(fence[1]) + "\n"))
                fence = None
            else:
                fence[1].append(line)
            continue
        if line.startswith("    "):
            indented.append(line[4:])
            continue
        if indented and line.strip():
            result.append(("indented", "\n".join(indented) + "\n"))
            indented = []
        if line.startswith("```"):
            fence = (line[3:].strip(), [])
    if indented:
        result.append(("indented", "\n".join(indented) + "\n"))
    return result


def commands(shell):
    """The commands of a block of shell, each with the lines that belong to it."""
    result, command = [], ""
    for line in shell.splitlines():
        if not command and (not line.strip() or line.startswith("#")):
            continue
        command += line + "\n"
        complete = subprocess.run(["bash", "-n"], input=command, text=True, capture_output=True)
        goes_on = re.search(r"(\\|\||&&)\s*$", line)
        if complete.returncode == 0 and not goes_on:
            result.append(command)
            command = ""
    if command:
        result.append(command)
    return result


def own_address():
    """One that was free a moment ago, and that the system gives to no connection: a server may be started there again."""
    first_of_connections = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for port in random.sample(range(10_000, first_of_connections), 1_000):
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            return f"127.0.0.1:{port}"
    raise AssertionError(f"no port from 10000 to {first_of_connections} is free")


class Server:
    """zeroshot_server on the demo model; its log goes to a file."""

    def __init__(self, folder, *flags, listen="127.0.0.1:0", environment=None):
        self.log = folder / f"server-{time.monotonic_ns()}.log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [str(SERVER), f"--listen={listen}", "--metrics_listen=", *flags],
                stderr=log, env={**os.environ, **(environment or {})})
        self.address = re.search(r"listening on (\S+:\d+)", self.wait_for("listening on")).group(1)

    def wait_for(self, text, seconds=300):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for line in self.log.read_text().splitlines():
                if text in line:
                    return line
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"no '{text}' in the server's log:\n{self.log.read_text()}")

    def stop(self):
        self.process.terminate()
        return self.process.wait(120)
