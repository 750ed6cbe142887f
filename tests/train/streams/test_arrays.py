from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from stillwatch.data.errors import InputError
from stillwatch.train.streams.arrays import StreamArrays

Make = Callable[..., StreamArrays]


def test_a_stream_counts_its_requests(make_stream: Make) -> None:
    assert len(make_stream(logits=[1.0, 2.0])) == 2
    assert len(make_stream(logits=[])) == 0


def test_the_head_of_a_stream_is_the_stream_as_it_stood(make_stream: Make) -> None:
    stream = replace(make_stream(logits=[1.0, 2.0, 3.0]), others=np.array([5, 6, 7], np.float32))
    head = stream.head(2)
    assert len(head) == len(head.families) == len(head.embeddings) == 2
    assert head.logits.tolist() == [1.0, 2.0]
    assert head.others is not None
    assert head.others.tolist() == [5, 6]
    assert stream.head(9).logits.tolist() == stream.logits.tolist()


@pytest.mark.parametrize("field", ["embeddings", "features", "is_extraction", "visible", "times_s", "others"])
def test_a_column_of_another_length_is_refused_by_name(make_stream: Make, field: str) -> None:
    stream = replace(make_stream(logits=[1.0, 2.0, 3.0]), others=np.zeros(3, np.float32))
    with pytest.raises(InputError, match=rf"^{field}: .*each of the 3 requests"):
        replace(stream, **{field: getattr(stream, field)[:2]})


def test_families_and_techniques_stand_for_every_request(make_stream: Make) -> None:
    stream = make_stream(logits=[1.0, 2.0])
    with pytest.raises(InputError, match=r"^families"):
        replace(stream, families=("one",))
    with pytest.raises(InputError, match=r"^techniques"):
        replace(stream, techniques=())


def test_a_column_of_another_shape_is_refused(make_stream: Make) -> None:
    stream = make_stream(logits=[1.0, 2.0])
    with pytest.raises(InputError, match="embeddings: an array of 1 axes; give 2"):
        replace(stream, embeddings=np.zeros(2, np.float32))


def test_times_that_fall_are_refused(make_stream: Make) -> None:
    assert len(make_stream(times_s=[5.0, 5.0, 6.0])) == 3
    with pytest.raises(InputError, match="times_s"):
        make_stream(times_s=[5.0, 4.0])
