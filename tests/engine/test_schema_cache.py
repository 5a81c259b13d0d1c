"""What is made of a schema is made once, by one thread at a time if it is large, and not kept
without end."""

import threading
from typing import Any

import pytest

from batches.engine.errors import PromptRejected
from batches.engine.schemas.cache import BYTES_PER_CHAR, LARGE_CHARS, LEAST_BYTES, SchemaCache
from batches.engine.schemas.schemas import response_model

PATIENCE_S = 30


class Upper:
    """Makes texts upper case, and notes which."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def __call__(self, text: str) -> str:
        self.made.append(text)
        if text.startswith("bad"):
            raise PromptRejected("no", param="schema.a", code="odd")
        return text.upper()


@pytest.fixture
def upper() -> Upper:
    return Upper()


def test_equal_texts_are_made_once_and_refusals_too(upper: Upper) -> None:
    cache = SchemaCache(upper, most_bytes=10**6)
    assert [cache("a"), cache("a"), cache("b")] == ["A", "A", "B"]
    for _ in range(3):
        with pytest.raises(PromptRejected, match="no") as caught:
            cache("bad")
        assert (caught.value.param, caught.value.code) == ("schema.a", "odd")
    assert upper.made == ["a", "b", "bad"]


def test_a_refusal_that_is_kept_does_not_grow_with_each_raise(upper: Upper) -> None:
    cache = SchemaCache(upper, most_bytes=10**6)
    caught = []
    for _ in range(2):
        with pytest.raises(PromptRejected) as error:
            cache("bad")
        caught.append(error.value)
    assert caught[0] is not caught[1]


@pytest.mark.parametrize("text", ["a", "x" * 1000])
def test_what_was_not_asked_for_the_longest_is_dropped_beyond_the_bound(
    upper: Upper, text: str
) -> None:
    size = LEAST_BYTES + BYTES_PER_CHAR * (len(text) + 1)
    cache = SchemaCache(upper, most_bytes=2 * size)
    for number in (0, 1, 0, 2, 0):
        cache(f"{text}{number}")
    assert len(upper.made) == 3
    cache(f"{text}1")
    assert len(upper.made) == 4


def test_what_a_value_takes_beside_its_text_counts(upper: Upper) -> None:
    cache = SchemaCache(upper, most_bytes=10**6, more_bytes=lambda _: 10**6)
    cache("a")
    cache("a")
    assert upper.made == ["a", "a"]


def test_a_schema_that_was_refused_is_not_read_again_for_each_of_its_prompts(
    compiled: list[Any],
) -> None:
    for _ in range(5):
        with pytest.raises(PromptRejected):
            response_model({"type": "object", "properties": {"once": {"type": "objekt"}}})
    assert len(compiled) == 1


@pytest.mark.parametrize(("chars", "most"), [(LARGE_CHARS + 1, 1), (10, 2)])
def test_threads_make_large_ones_in_turn_and_small_ones_side_by_side(chars: int, most: int) -> None:
    """Two threads meet while they make small ones; of large ones the second waits."""
    inside = threading.Semaphore(0)
    go_on = threading.Event()
    at_once: list[int] = []
    busy = [0]
    lock = threading.Lock()

    def make(text: str) -> str:
        with lock:
            busy[0] += 1
            at_once.append(busy[0])
        inside.release()
        assert go_on.wait(PATIENCE_S)
        with lock:
            busy[0] -= 1
        return text

    cache = SchemaCache(make, most_bytes=10**9)
    texts = [str(number) * chars for number in range(2)]
    threads = [threading.Thread(target=cache, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    for _ in range(most):
        assert inside.acquire(timeout=PATIENCE_S)
    go_on.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert max(at_once) == most
    assert len(at_once) == 2


def test_threads_that_want_the_same_large_schema_have_it_made_once(upper: Upper) -> None:
    start = threading.Barrier(4)
    cache = SchemaCache(upper, most_bytes=10**9)

    def want() -> None:
        start.wait(PATIENCE_S)
        cache("x" * (LARGE_CHARS + 1))

    threads = [threading.Thread(target=want) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert len(upper.made) == 1
