from __future__ import annotations

import gc
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from random import Random

import numpy as np
import pytest

from stillwatch.data.errors import BundleError, ConfigError
from stillwatch.data.labels import Role
from stillwatch.data.records import Message, Request, Tool
from stillwatch.model.bundle import Bundle
from stillwatch.model.cache import ENTRY_BYTES, ByteCache, CacheUse, ScoringCache
from stillwatch.model.cached_runtime import CachedRuntime
from stillwatch.model.logits import RequestLogits
from stillwatch.model.runtimes import IntArray, OnnxRuntime, Precision, WindowOutputs
from stillwatch.model.scorer import Scorer
from stillwatch.model.windows import Windower

WORDS = (
    "trace",
    "order",
    "hello",
    "reasoning",
    "écoute",
    "да",
    "a​b",
    "cmVhc29uaW5nIGFib3V0IHRoZSBvcmRlciBvZiB0cmFjZXM=",
)


def draw_text(rng: Random, num_words: int) -> str:
    return "".join(rng.choice(WORDS) + rng.choice((" ", " ", ". ", "\n\n")) for _ in range(num_words))


def draw_conversations(num_conversations: int, num_turns: int, words: int) -> list[list[Request]]:
    """Growing conversations, some under a system text that all of them share, some with tools."""
    rng = Random(3)
    system = Message(Role.SYSTEM, draw_text(rng, 120))
    drawn = []
    for number in range(num_conversations):
        messages = [system] if number % 2 else []
        tools = (Tool("find", draw_text(rng, 40)),) if number % 3 == 0 else ()
        turns = []
        for turn in range(num_turns):
            messages.append(Message((Role.USER, Role.ASSISTANT)[turn % 2], draw_text(rng, rng.randint(0, words))))
            turns.append(Request(tuple(messages), tools=tools, account="one"))
        drawn.append(turns)
    return drawn


def assert_same(found: list[RequestLogits], expected: list[RequestLogits]) -> None:
    """Equal in every bit."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert (one.extraction, one.top_window) == (other.extraction, other.top_window)
        for name in ("techniques", "attributes", "embedding"):
            assert getattr(one, name).tobytes() == getattr(other, name).tobytes()


def test_what_was_longest_unused_goes_first_and_the_bound_is_kept() -> None:
    cache = ByteCache(5 * (ENTRY_BYTES + 300))
    keys = [cache.digest(bytes([number])) for number in range(8)]
    for key in keys[:5]:
        cache.put(key, bytes(300))
    assert cache.get(keys[0]) == bytes(300)
    cache.put(keys[5], bytes(300))
    assert [cache.get(key) is not None for key in keys[:6]] == [True, False, True, True, True, True]
    use = cache.describe()
    assert (use.hits, use.misses, use.num_entries) == (6, 1, 5)
    assert use.hit_rate == pytest.approx(6 / 7)
    assert use.num_bytes == use.max_bytes == 5 * (ENTRY_BYTES + 300)
    cache.put(keys[6], bytes(6000))
    assert cache.get(keys[6]) is None
    assert cache.describe().num_entries == 5


def test_the_bytes_told_are_no_less_than_those_taken() -> None:
    cache = ByteCache(2_000_000)
    for size in (0, 40, 1700):
        gc.collect()
        tracemalloc.start()
        for number in range(4000):
            cache.put(cache.digest(b"%d %d" % (size, number)), bytes(size))
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert 0.4 * cache.describe().num_bytes <= taken <= cache.describe().num_bytes <= 2_000_000
        cache.clear()


def test_keys_of_one_scorer_mean_nothing_to_another() -> None:
    assert ByteCache(100).digest(b"order") != ByteCache(100).digest(b"order")


def test_clearing_drops_all_and_keeps_the_counts() -> None:
    cache = ByteCache(10_000)
    cache.put(cache.digest(b"a"), b"b")
    cache.get(cache.digest(b"a"))
    cache.clear()
    assert cache.get(cache.digest(b"a")) is None
    assert cache.describe() == CacheUse(hits=1, misses=1, num_entries=0, num_bytes=0, max_bytes=10_000)


def test_many_threads_share_a_cache() -> None:
    cache = ByteCache(50_000)

    def work(seed: int) -> None:
        rng = Random(seed)
        for _ in range(2000):
            content = b"%d" % rng.randint(0, 200)
            if (kept := cache.get(cache.digest(content))) is not None:
                assert kept == content
            cache.put(cache.digest(content), content)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    use = cache.describe()
    assert use.hits + use.misses == 16_000
    assert 0 < use.num_bytes <= 50_000


def test_fewer_bytes_than_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="cache_bytes: a number below 0"):
        ScoringCache(-1)


@pytest.mark.parametrize("cache_bytes", [3_000, 60_000, 10_000_000])
def test_a_cache_changes_no_bit_of_any_verdict(tiny_bundle: Bundle, cache_bytes: int) -> None:
    cached, plain = (Scorer.load(tiny_bundle.folder, cache_bytes=size) for size in (cache_bytes, 0))
    for turns in draw_conversations(4, 8, 60):
        for request in turns:
            assert cached.score(request) == plain.score(request)
            assert_same(cached.encode([request]), plain.encode([request]))
        assert cached.score_many(turns) == plain.score_many(turns)
    assert cached.cache.stats().num_bytes <= cache_bytes
    assert plain.cache.stats().windows.misses == plain.cache.stats().num_bytes == 0


def test_a_cache_changes_no_bit_of_the_default_bundle() -> None:
    cached, plain = Scorer.load(), Scorer.load(cache_bytes=0)
    (turns,) = draw_conversations(1, 12, 200)
    for request in turns[2::3] * 2:
        assert cached.score(request) == plain.score(request)
        assert_same(cached.encode([request]), plain.encode([request]))
    assert max(cached.score(turns[-1]).coverage.windows, 10) > cached.score(turns[-1]).coverage.windows_encoded
    assert cached.cache.stats().windows.hit_rate > 0.5


def test_eight_threads_with_one_cache_get_what_one_without_gets(tiny_bundle: Bundle) -> None:
    requests = [request for turns in draw_conversations(4, 6, 60) for request in turns]
    expected = [Scorer.load(tiny_bundle.folder, cache_bytes=0).score(request) for request in requests]
    scorer = Scorer.load(tiny_bundle.folder, cache_bytes=40_000)
    with ThreadPoolExecutor(8) as pool:
        for verdicts in pool.map(lambda _: [scorer.score(request) for request in requests], range(8)):
            assert verdicts == expected


def test_a_turn_more_reads_only_what_it_added(tiny_bundle: Bundle) -> None:
    scorer = Scorer.load(tiny_bundle.folder)
    messages = [Message(Role.SYSTEM, "order " * 60)]
    for turn in range(40):
        messages.append(Message((Role.USER, Role.ASSISTANT)[turn % 2], f"hello {turn} " * 10))
        before = scorer.cache.stats()
        verdict = scorer.score(Request(tuple(messages)))
        after = scorer.cache.stats()
        assert after.texts.misses - before.texts.misses == (1 if turn else 2)
        assert after.windows.misses - before.windows.misses <= 2
    assert verdict.coverage.windows > 8


def test_a_shared_system_text_is_encoded_once(tiny_bundle: Bundle) -> None:
    scorer = Scorer.load(tiny_bundle.folder)
    system = Message(Role.SYSTEM, " ".join(f"rule {number}" for number in range(300)))
    scorer.score(Request((system, Message(Role.USER, "hello"))))
    before = scorer.cache.stats()
    verdict = scorer.score(Request((system, Message(Role.USER, "order"))))
    assert scorer.cache.stats().windows.misses - before.windows.misses <= 1 < verdict.coverage.windows
    assert scorer.cache.stats().texts.misses - before.texts.misses == 1


def test_texts_from_the_cache_are_cut_as_they_were_the_first_time(tiny_bundle: Bundle) -> None:
    cache = ByteCache(10_000_000)
    remembering = Windower.load(tiny_bundle.tokenizer, tiny_bundle.window_config, cache)
    forgetful = Windower.load(tiny_bundle.tokenizer, tiny_bundle.window_config)
    requests = [request for turns in draw_conversations(4, 8, 120) for request in turns]
    for request in requests * 2:
        assert remembering.cut(request) == forgetful.cut(request)
    assert any(windows.passages and windows.traces.decoded_blobs for windows in map(forgetful.cut, requests))
    assert cache.describe().hit_rate > 0.5


def test_neither_texts_nor_token_ids_show_in_what_the_cache_tells(tiny_bundle: Bundle) -> None:
    scorer = Scorer.load(tiny_bundle.folder)
    scorer.score(Request((Message(Role.USER, "reasoning hello"),)))
    told = repr((scorer.cache, scorer.cache.texts, scorer.cache.windows, scorer.cache.stats()))
    assert "hello" not in told
    assert "\\x" not in told


class Company:
    """A runtime that reads windows together."""

    name, max_batch = "company", 4
    precision: Precision = "fp32"

    def run(self, input_ids: IntArray, attention_mask: IntArray) -> WindowOutputs:
        raise NotImplementedError


def test_a_runtime_that_reads_windows_together_is_not_cached() -> None:
    with pytest.raises(BundleError, match="only single windows are cached"):
        CachedRuntime(Company(), ByteCache(1000))


def test_several_windows_at_once_go_past_the_cache(tiny_bundle: Bundle) -> None:
    inner = OnnxRuntime(tiny_bundle.onnx_model)
    cache = ByteCache(10_000)
    ids = np.array([[2, 5, 3], [2, 4, 3]], np.int64)
    found, expected = CachedRuntime(inner, cache).run(ids, np.ones_like(ids)), inner.run(ids, np.ones_like(ids))
    assert found.extraction.tobytes() == expected.extraction.tobytes()
    assert cache.describe().misses == 0
