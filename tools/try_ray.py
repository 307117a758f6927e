#!/usr/bin/env python3
"""Runs client/python/examples/ray_classify.py for real: two servers, 20,000 images, a stop in the middle, a
server that is killed and comes back. scripts/test-python ray calls it with a Python that has ray, pyarrow,
pillow and zeroshot_client.

    tools/try_ray.py --images=20000
"""

import argparse
import io
import os
import pathlib
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/e2e"))
import documents  # noqa: E402

SHARDS = 20
BROKEN = 7  # one image in so many thousand is no image


def variants(count):
    """(name, bytes): the demo images, each with a pixel of its own."""
    pictures = [(path.stem, Image.open(path).convert("RGB").resize((96, 96)))
                for path in sorted((ROOT / "models/demo/images").iterdir())]
    for i in range(count):
        name, image = pictures[i % len(pictures)]
        if i % 1000 == BROKEN:
            yield f"broken-{i}", b"no image"
            continue
        image.putpixel((0, 0), (i % 256, i // 256 % 256, i // 65536))
        file = io.BytesIO()
        image.save(file, "JPEG", quality=85)
        yield f"{name}-{i}", file.getvalue()


def write(folder, count):
    """Parquet files, and the last one as a WebDataset shard."""
    images = variants(count)
    for shard in range(SHARDS):
        rows = [next(images) for _ in range(count // SHARDS)]
        if shard < SHARDS - 1:
            pq.write_table(pa.table({"name": [n for n, _ in rows], "bytes": [b for _, b in rows]}),
                           folder / f"shard-{shard:03}.parquet")
            continue
        with tarfile.open(folder / f"shard-{shard:03}.tar", "w") as tar:
            for name, content in rows:
                member = tarfile.TarInfo(f"{name}.jpg")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    arguments = parser.parse_args()
    # Ray gives its workers time to clean up only where the folder's name is short.
    with tempfile.TemporaryDirectory(prefix="zr-") as temporary:
        folder = pathlib.Path(temporary)
        (folder / "images").mkdir()
        write(folder / "images", arguments.images)
        servers = [documents.Server(folder, "--drain_grace=0s") for _ in range(2)]
        for server in servers:
            server.wait_for(" serving ")
        addresses = [server.address for server in servers]
        command = [sys.executable, str(ROOT / "client/python/examples/ray_classify.py"),
                   f"--images={folder}/images", f"--answers={folder}/answers", f"--target=ipv4:{','.join(addresses)}",
                   "--classes=" + ",".join((ROOT / "models/demo/classes.txt").read_text().split("\n")[:-1]),
                   "--wait_for_server=60"]
        environment = {**os.environ, "RAY_DEDUP_LOGS": "0", "RAY_USAGE_STATS_ENABLED": "0"}

        def run(stop_after=None):
            with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True,
                                  start_new_session=True) as job:
                lines = []
                for line in job.stdout:
                    if "shard-" in line or "files, " in line:
                        print(line, end="", flush=True)
                        lines.append(line)
                    if stop_after is not None and sum("shard-" in item for item in lines) >= stop_after:
                        # As a machine that is lost: the driver, and with it Ray.
                        os.killpg(job.pid, signal.SIGKILL)
                        break
                job.wait()
            return lines, job.returncode

        print("the job is killed after 4 files", flush=True)
        run(stop_after=4)
        print("it goes on; a server is killed, and comes back", flush=True)

        def kill_one():
            time.sleep(random.uniform(12, 18))
            servers[0].process.send_signal(signal.SIGKILL)
            servers[0].process.wait()
            time.sleep(5)
            servers.append(documents.Server(folder, "--drain_grace=0s", listen=addresses[0]))

        thread = threading.Thread(target=kill_one)
        thread.start()
        lines, status = run()
        thread.join()
        for server in servers:
            if server.process.poll() is None:
                server.process.terminate()
                server.process.wait(120)
        assert status == 0, status
        assert "0 of them done already" not in lines[0], lines[0]

        expected = [name for name, _ in variants(arguments.images)]
        rows = []
        for shard in range(SHARDS):
            table = pq.read_table(folder / "answers" / f"shard-{shard:03}.parquet").to_pydict()
            assert "bytes" not in table
            rows += zip(table["name" if shard < SHARDS - 1 else "key"], table["class_name"], table["error"])
        # A WebDataset reader may take members in another order.
        assert sorted(name for name, _, _ in rows) == sorted(expected), "an image is missing, or there twice"
        failed = [name for name, _, error in rows if error is not None]
        assert sorted(failed) == sorted(name for name in expected if name.startswith("broken")), failed[:5]
        right = sum(name.rsplit("-", 1)[0] == label for name, label, error in rows if error is None)
        print(f"{len(rows)} images, each answered once: {len(failed)} broken ones failed, "
              f"{right} of {len(rows) - len(failed)} are what they show")
        assert right > 0.8 * (len(rows) - len(failed))


if __name__ == "__main__":
    main()
