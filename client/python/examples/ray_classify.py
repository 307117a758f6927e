#!/usr/bin/env python3
"""Classifies a collection of images with Ray Data against one or several servers:

    python ray_classify.py --images=images/ --answers=answers/ --classes=frog,apple,car \\
        --target=ipv4:10.0.0.1:50051,10.0.0.2:50051

images/ holds Parquet files with a column of encoded images (`bytes`), or WebDataset shards (.tar, `jpg`, `png`
or `webp`). answers/ gets a Parquet file for each of them, without the images: the job goes on where it was
stopped, because a file that is complete is renamed into its place and not done again.

Back-pressure needs no setting: a server refuses what is too much for it, the workers wait, and Ray Data reads
no further than they are. Needs `pip install 'zeroshot_client[ray]'`.
"""

import argparse
import pathlib
import sys
import time

import ray

from zeroshot_client import Spec
from zeroshot_client.ray import Classify

WEBDATASET_IMAGES = ("jpg", "jpeg", "png", "webp")


def read(shard, image, blocks):
    """The shard's rows in that many blocks; images are in the column `image`."""
    if shard.suffix != ".tar":
        return ray.data.read_parquet(str(shard), override_num_blocks=blocks)

    def image_column(row):
        kind = next((kind for kind in WEBDATASET_IMAGES if kind in row), None)
        return {"key": row["__key__"], image: row[kind] if kind else b""}

    return ray.data.read_webdataset(str(shard), decoder=None).map(image_column)


def classify(shard, answers, arguments, spec):
    """Writes the shard's answers; returns how many images were answered and failed."""
    done = answers / f"{shard.stem}.parquet"
    partial = answers / f".{shard.stem}.partial.parquet"
    rows = read(shard, arguments.image, 2 * arguments.workers).map_batches(
        Classify,
        fn_constructor_kwargs={
            "target": arguments.target,
            "classes": spec,
            "image": arguments.image,
            "in_flight": arguments.in_flight,
            "wait_for_server": arguments.wait_for_server,
        },
        batch_size=arguments.batch_size,
        compute=ray.data.ActorPoolStrategy(size=arguments.workers),
        num_cpus=arguments.cpus,
    )
    frame = rows.to_pandas()
    frame.to_parquet(partial, index=False)
    partial.rename(done)
    failed = int(frame["error"].notna().sum())
    return len(frame) - failed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=pathlib.Path, required=True, help="folder of .parquet or .tar files")
    parser.add_argument("--answers", type=pathlib.Path, required=True, help="folder for their answers")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--classes", help="names with commas between")
    what.add_argument("--spec", help="a file that `zeroshot_client build --spec` takes")
    parser.add_argument("--templates", default="a photo of a {}.", help="a template, or the name of a set")
    parser.add_argument("--target", help="the servers; ZEROSHOT_TARGET, else 127.0.0.1:50051")
    parser.add_argument("--image", default="bytes", help="the column of images")
    parser.add_argument("--workers", type=int, default=2, help="processes that call servers")
    parser.add_argument("--cpus", type=float, default=0.5, help="CPUs that Ray counts for each of them")
    parser.add_argument("--batch_size", type=int, default=256, help="images that a worker gets at once")
    parser.add_argument("--in_flight", type=int, default=32, help="images of a worker at the servers")
    parser.add_argument("--wait_for_server", type=float, default=300, help="seconds that servers may be away")
    arguments = parser.parse_args()

    shards = sorted([*arguments.images.glob("*.parquet"), *arguments.images.glob("*.tar")])
    if not shards:
        sys.exit(f"{arguments.images} has no .parquet or .tar file")
    arguments.answers.mkdir(parents=True, exist_ok=True)
    left = [shard for shard in shards if not (arguments.answers / f"{shard.stem}.parquet").exists()]
    print(f"{len(shards)} files, {len(shards) - len(left)} of them done already", flush=True)
    spec = (
        Spec.from_file(arguments.spec)
        if arguments.spec
        else Spec.of([name.strip() for name in arguments.classes.split(",")], arguments.templates)
    )
    begun, total = time.monotonic(), 0
    for shard in left:
        answered, failed = classify(shard, arguments.answers, arguments, spec)
        total += answered + failed
        rate = total / (time.monotonic() - begun)
        print(f"{shard.name}: {answered} answered, {failed} failed; {rate:.0f} images/s", flush=True)


if __name__ == "__main__":
    main()
