"""Many images: lazily, in order or not, each failing alone."""

import csv
import io
import itertools
import threading
import time
import tracemalloc

import pytest
from conftest import FROG, IMAGES

import zeroshot_client
from zeroshot_client import Cancellation

BYTES = FROG.read_bytes()


@pytest.mark.parametrize("batch_size", [1, 3])
def test_answers_come_in_the_order_of_the_images(pets, batch_size):
    items = [*IMAGES, "missing.jpg", b"no image"] * 3
    pairs = list(pets.classify_many(items, batch_size=batch_size))
    assert [item for item, _ in pairs] == items
    assert [answer.ok for _, answer in pairs] == ([True] * len(IMAGES) + [False] * 2) * 3
    assert isinstance(pairs[12][1].error, FileNotFoundError)
    assert pairs[13][1].error.reason == "IMAGE_NOT_SUPPORTED"
    with pytest.raises(FileNotFoundError):
        pairs[12][1].predictions  # noqa: B018
    assert "FileNotFoundError" in repr(pairs[12][1])
    assert pairs[4][1].top == pets.classify_batch([IMAGES[4]])[0].top or pairs[4][1].top.class_name == "frog"


@pytest.mark.parametrize("batch_size", [1, 3])
def test_answers_come_as_completed(pets, batch_size):
    """One image that waits for its disk keeps none of the others."""
    held = threading.Event()

    class Slow(io.BytesIO):
        def read(self, *_):
            held.wait(60)
            return BYTES

    slow = Slow()
    items = [slow, *[BYTES] * 20]
    got = []
    for item, answer in pets.classify_many(items, ordered=False, in_flight=4 * batch_size, batch_size=batch_size):
        assert answer.ok
        got.append(item)
        if len(got) == 21 - batch_size:
            assert slow not in got
            held.set()
    assert len(got) == 21


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_an_iterator_is_read_as_there_is_room(pets, ordered, batch_size):
    read = 0

    def endless():
        nonlocal read
        while True:
            read += 1
            yield BYTES

    most = 0
    pairs = pets.classify_many(endless(), in_flight=8, ordered=ordered, batch_size=batch_size)
    for count, _ in enumerate(itertools.islice(pairs, 200), 1):
        most = max(most, read - count)
    pairs.close()
    assert most <= 8 * 4 + 4 * batch_size
    now = read
    time.sleep(0.2)
    assert read == now


def test_memory_is_flat(pets):
    in_flight, size, count = 8, 100_000, 600

    def images(count):
        for i in range(count):
            yield BYTES + bytes(size) + i.to_bytes(4, "big")

    assert all(answer.ok for _, answer in pets.classify_many(images(50), in_flight=in_flight))
    tracemalloc.start()
    assert sum(answer.ok for _, answer in pets.classify_many(images(count), in_flight=in_flight)) == count
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # Behind one image that takes long others are read and answered, four for each place: themselves and as messages.
    assert most < 2 * 4 * in_flight * (size + len(BYTES)) + 4_000_000 < count * size / 4


def test_an_item_may_hold_its_image(pets):
    rows = [{"name": path.name, "jpg": path.read_bytes()} for path in IMAGES]
    for row, answer in pets.classify_many(rows, image=lambda row: row["jpg"]):
        if row["name"] == "frog.png":
            assert answer.top.class_name == "frog"
    answers = list(pets.classify_many([{}], image=lambda row: row["jpg"]))
    assert isinstance(answers[0][1].error, KeyError)


def test_images_that_cannot_be_listed_end_the_rest(pets):
    def broken():
        yield FROG
        yield FROG
        raise OSError("the folder is gone")

    got = []
    with pytest.raises(OSError, match="the folder is gone"):
        for _, answer in pets.classify_many(broken()):
            got.append(answer.ok)
    assert got == [True, True]


def test_what_would_end_all_is_raised_at_once(pets, client):
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="in_flight is 0"):
        pets.classify_many([FROG], in_flight=0)
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="batch_size is 0"):
        pets.classify_many([FROG], batch_size=0)
    with pytest.raises(zeroshot_client.InvalidArgumentError, match="top_k"):
        pets.classify_many([FROG], top_k=0)
    with pytest.raises(TypeError, match="unknown keyword"):
        pets.classify_many([FROG], speed=3)
    for how in ({"top_k": 5000}, {"batch_size": 64, "in_flight": 64}):
        with pytest.raises(zeroshot_client.InvalidArgumentError, match="at most"):
            list(pets.classify_many(itertools.repeat(FROG), **how))


def test_leaving_the_loop_ends_the_calls(pets):
    before = threading.active_count()
    for _ in pets.classify_many(itertools.repeat(FROG), in_flight=16):
        break
    end = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < end:
        time.sleep(0.05)
    assert threading.active_count() <= before


def test_many_are_cancelled_from_another_thread(pets):
    for seconds in (0.3, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0):
        stop = Cancellation()
        threading.Timer(seconds, stop.cancel).start()
        begun = time.monotonic()
        with pytest.raises(zeroshot_client.CancelledError):
            for _ in pets.classify_many(itertools.repeat(FROG), cancellation=stop):
                pass
        assert time.monotonic() - begun < 10


def test_progress_is_a_bar(pets, capsys):
    assert len(list(pets.classify_many(IMAGES, progress=True))) == 12
    assert "12/12" in capsys.readouterr().err


def test_rows_go_to_a_csv_file(pets, tmp_path):
    path = tmp_path / "labels.csv"
    summary = pets.to_csv(path, [*IMAGES, "missing.jpg", BYTES], top_k=4)
    assert summary == (13, 1)
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[4]["image"] == str(FROG)
    assert rows[4]["class_name"] == "frog"
    assert float(rows[4]["probability"]) > 0.9
    assert rows[4]["accepted"] == "True"
    assert rows[4]["class_name_4"] == ""
    assert "missing.jpg" in rows[12]["error"]
    assert rows[12]["class_name"] == ""
    assert rows[13]["image"] == "13"
    text = io.StringIO()
    assert pets.to_csv(text, IMAGES[:1]).answered == 1
    assert text.getvalue().startswith("image,class_name,probability,accepted,other_probability,error")


def test_rows_go_to_pandas(pets):
    pytest.importorskip("pandas")
    frame = pets.to_pandas([*IMAGES, "missing.jpg"], top_k=2)
    assert len(frame) == 13
    assert frame.class_name[4] == "frog"
    assert frame.error.notna().sum() == 1
