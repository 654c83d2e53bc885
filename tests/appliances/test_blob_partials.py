"""A large blob that comes in more than one attempt."""

from __future__ import annotations

import math
import os
from contextlib import closing

import pytest
from blake3 import blake3

from appliances import blob_partials, blobs
from appliances.blob_partials import Partial

CONTENT = bytes(range(256)) * 8192
NAME = blake3(CONTENT).hexdigest()


def claimed() -> Partial:
    partial = Partial.claim(NAME)
    assert partial is not None
    return partial


def begun(content: bytes) -> None:
    partial = claimed()
    partial.begin(0)
    partial.write(content)
    partial.close()


@pytest.fixture(autouse=True)
def nothing_left():
    blob_partials.remove_older(math.inf)


def test_the_next_attempt_goes_on_where_the_last_one_ended():
    begun(CONTENT[:1_000_000])
    assert blob_partials.held(NAME) == 1_000_000
    partial, ticks = claimed(), []
    partial.resume(len(CONTENT), lambda: ticks.append(1))
    assert partial.received == 1_000_000
    assert ticks
    partial.begin(1_000_000)
    partial.write(memoryview(CONTENT)[1_000_000:])
    assert partial.blob_id_received == NAME
    with blobs.Batch() as batch:
        batch.take(NAME, partial.place)
    partial.close()
    assert blobs.verify(NAME) == len(CONTENT)
    assert blob_partials.held(NAME) == 0


def test_a_whole_one_is_short_of_a_byte_so_that_there_is_something_to_come():
    begun(CONTENT + b"too much")
    partial = claimed()
    partial.resume(len(CONTENT), lambda: None)
    assert partial.received == len(CONTENT) - 1
    partial.begin(partial.received)
    partial.write(CONTENT[-1:])
    assert partial.blob_id_received == NAME
    assert partial.place.stat().st_size == len(CONTENT)
    partial.remove()


def test_what_has_come_is_forgotten_where_the_sender_begins_anew():
    begun(b"wrong")
    partial = claimed()
    partial.resume(len(CONTENT), lambda: None)
    with pytest.raises(ValueError, match="5 bytes have come"):
        partial.begin(4)
    partial.begin(0)
    partial.write(CONTENT)
    assert partial.blob_id_received == NAME
    partial.remove()
    assert blob_partials.held(NAME) == 0


def test_one_at_a_time_receives_a_blob():
    partial = claimed()
    assert Partial.claim(NAME) is None
    partial.close()
    partial = claimed()
    partial.remove()
    claimed().remove()


def test_it_is_removed_when_nobody_went_on_with_it_for_long():
    begun(b"x")
    blob_partials.remove_older(1.0)
    assert blob_partials.held(NAME) == 1
    with closing(claimed()) as partial:
        os.utime(partial.place, (0, 0))
    blob_partials.remove_older(1.0)
    assert blob_partials.held(NAME) == 0


def test_no_path_is_built_from_anything_but_a_blob_id():
    for name in ("../x", "", "g" * 64):
        with pytest.raises(ValueError, match="not a blob id"):
            Partial.claim(name)
