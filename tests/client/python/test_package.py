"""What is shipped: stubs of the contract, a version, types, style."""

import re
import shutil
import subprocess
import sys

import pytest
from conftest import FROG, SOURCE

import zeroshot_client
from zeroshot_client import connection, errors
from zeroshot_client._proto import zeroshot_pb2

PACKAGE = SOURCE / "client/python"


def test_the_stubs_are_the_contracts():
    protoc = shutil.which("protoc")
    assert protoc, "no protoc; scripts/setup installs it"
    result = subprocess.run([sys.executable, SOURCE / "tools/make_python_stubs.py", "--check"],
                            capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_a_change_of_the_contract_is_seen(tmp_path):
    copy = tmp_path / "copy"
    for part in ("proto", "tools/make_python_stubs.py", "client/python/zeroshot_client/_proto"):
        (copy / part).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (SOURCE / part).is_dir() else shutil.copy)(SOURCE / part, copy / part)
    contract = copy / "proto/zeroshot/v1/zeroshot.proto"
    contract.write_text(contract.read_text().replace("uint32 top_k = 3;", "uint64 top_k = 3;"))
    result = subprocess.run([sys.executable, copy / "tools/make_python_stubs.py", "--check"],
                            capture_output=True, text=True)
    assert result.returncode == 1
    assert "make_python_stubs" in result.stderr
    subprocess.run([sys.executable, copy / "tools/make_python_stubs.py"], check=True)
    subprocess.run([sys.executable, copy / "tools/make_python_stubs.py", "--check"], check=True)


def test_every_method_of_the_contract_is_called_as_it_says():
    service = zeroshot_pb2.DESCRIPTOR.services_by_name["ZeroShot"]
    ours = {m.path: m for m in vars(connection).values() if isinstance(m, connection.Method)}
    contract = (SOURCE / "proto/zeroshot/v1/zeroshot.proto").read_text()
    for method in service.methods:
        mine = ours.pop(f"/zeroshot.v1.ZeroShot/{method.name}")
        assert mine.request.DESCRIPTOR is method.input_type
        assert mine.response.DESCRIPTOR is method.output_type
        request, response = re.search(rf"rpc {method.name}\((stream )?\w+\) returns \((stream )?", contract).groups()
        assert mine.kind == f"{'stream' if request else 'unary'}_{'stream' if response else 'unary'}"
    assert list(ours) == ["/grpc.health.v1.Health/Check"]


def test_every_reason_of_the_contract_has_a_class_by_its_code():
    head = (SOURCE / "proto/zeroshot/v1/zeroshot.proto").read_text().split("syntax =")[0]
    codes = set(re.findall(r"^// ([A-Z_]+)(?:, ([A-Z_]+))?:", head, re.M))
    for code in {name for pair in codes for name in pair if name}:
        assert code in errors._KINDS, code


def test_the_users_own_stubs_may_be_there_too(client, tmp_path):
    """Of this contract, or of another of the same name: protobuf takes one file of a name."""
    pytest.importorskip("grpc_tools")
    folder = tmp_path / "proto/zeroshot/v1"
    folder.mkdir(parents=True)
    contract = (SOURCE / "proto/zeroshot/v1/zeroshot.proto").read_text()
    (folder / "zeroshot.proto").write_text(contract.replace("uint32 top_k = 3;", "uint64 top_k = 3;"))
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", f"-I{tmp_path / 'proto'}", f"--python_out={tmp_path}",
                    "zeroshot/v1/zeroshot.proto"], check=True)
    program = (f"import sys; sys.path[:0] = ['{tmp_path}', '{PACKAGE}']\n"
               "from zeroshot.v1 import zeroshot_pb2\nimport zeroshot_client\n"
               f"pets = zeroshot_client.Client('{client.target}').build(['frog', 'car'])\n"
               f"print(pets({str(FROG)!r}).top.class_name, zeroshot_pb2.ClassifyRequest(top_k=3).top_k)")
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.stdout.split() == ["frog", "3"], result.stderr


def test_the_version_is_the_projects():
    cmake = (SOURCE / "CMakeLists.txt").read_text()
    version = re.search(r"project\(zeroshot VERSION (\S+)", cmake).group(1)
    assert zeroshot_client.__version__ == version
    assert f'version = "{version}"' in (PACKAGE / "pyproject.toml").read_text()
    assert (PACKAGE / "LICENSE").read_text() == (SOURCE / "LICENSE").read_text()


def test_what_is_exported_exists_and_has_words():
    for name in zeroshot_client.__all__:
        assert getattr(zeroshot_client, name).__doc__ or name == "ImageLike", name


def test_types_and_style_hold():
    pytest.importorskip("mypy")
    types = subprocess.run([sys.executable, "-m", "mypy", "--strict", "--cache-dir=/dev/null", "zeroshot_client"],
                           cwd=PACKAGE, capture_output=True, text=True)
    assert types.returncode == 0, types.stdout
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        style = subprocess.run([sys.executable, "-m", "ruff", *command, "."], cwd=PACKAGE, capture_output=True,
                               text=True)
        assert style.returncode == 0, style.stdout + style.stderr
    tests = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--no-cache", "--config", PACKAGE / "pyproject.toml",
         SOURCE / "tests/client/python"],
        capture_output=True, text=True)
    assert tests.returncode == 0, tests.stdout


def test_an_error_of_any_code_is_one_of_ours():
    error = errors._make("UNIMPLEMENTED", "", [], "id")
    assert type(error) is zeroshot_client.ZeroshotError
    assert (error.code, error.reason, error.request_id) == ("UNIMPLEMENTED", "", "id")
    assert "nothing says why" in str(error)
    assert "cut off" in str(errors._make("CANCELLED", "CANCELLED", [], ""))
    assert "item 3" in str(errors.numbered(error, 3))
    assert errors.numbered(OSError("x"), 3).args == ("x",)
