"""Our wire contract in Python, compiled for one run, and a port to speak it on."""

import pathlib
import socket
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent


def load_stubs():
    """The modules zeroshot_pb2 and zeroshot_pb2_grpc."""
    from grpc_tools import protoc  # which not every user of this file has

    out = tempfile.mkdtemp()
    include = pathlib.Path(protoc.__file__).parent / "_proto"
    if protoc.main(["", f"-I{ROOT / 'proto'}", f"-I{include}", f"--python_out={out}", f"--grpc_python_out={out}",
                    str(ROOT / "proto" / "zeroshot" / "v1" / "zeroshot.proto")]) != 0:
        sys.exit("protoc failed")
    sys.path.insert(0, out)
    from zeroshot.v1 import zeroshot_pb2, zeroshot_pb2_grpc
    return zeroshot_pb2, zeroshot_pb2_grpc


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]
