"""Accounts counted by the server's own HyperLogLog, where replicas share the counts: an `AccountCounter` on a server.

A key for each fingerprint and bucket of a day, expiring a day after it left the window; PFADD and PFCOUNT (after Heule,
Nunkesser and Hall, 2013) with a standard error of 0.81%, nearly exact up to some hundreds. No account can be read back
from a sketch, and no text be looked up by its fingerprint, whose name is keyed. A fingerprint that few accounts sent
takes about 150 bytes a day, one that thousands sent 12 KiB: their number is bounded by the server's own `maxmemory` and
a policy that evicts, such as `volatile-lru`.

A large count is dear for the server and hardly moves: this process reads it once in half a minute, while accounts are
added all the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from threading import Lock

from cachetools import TTLCache
from redis import Redis

from stillwatch.model.streams.accounts import DAY_S
from stillwatch.model.streams.fingerprint import FINGERPRINT_VERSION
from stillwatch.serve.stores.link import RedisLink
from stillwatch.serve.stores.states import KEYS_VERSION

LARGE_COUNT = 100
"""From which on a count is remembered in this process."""

_MOST_REMEMBERED = 10_000
_ASK = """
local account, expire_s, width, num_counted = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local counts, num_dropped = {}, 0

local function ask(keys, is_counted)
  local answer = 0
  if account ~= '' then
    answer = redis.pcall('PFADD', keys[1], account)
    if type(answer) == 'table' and answer.err then return answer end
    redis.call('EXPIRE', keys[1], expire_s)
  end
  if is_counted then return redis.pcall('PFCOUNT', unpack(keys)) end
  return answer
end

local place = 1
while place <= #KEYS do
  local is_counted = #counts < num_counted
  local keys = {unpack(KEYS, place, is_counted and place + width - 1 or place)}
  local answer = ask(keys, is_counted)
  if type(answer) == 'table' and (answer.err:find('WRONGTYPE') or answer.err:find('INVALIDOBJ')) then
    num_dropped = num_dropped + 1
    redis.call('DEL', unpack(keys))
    answer = ask(keys, is_counted)
  end
  if type(answer) == 'table' then return answer end
  if is_counted then counts[#counts + 1] = answer end
  place = place + #keys
end
return {num_dropped, unpack(counts)}
"""


class RedisAccountCounter:
    """Counts on a server, in one round trip a request. Thread-safe."""

    def __init__(
        self,
        link: RedisLink,
        *,
        prefix: str,
        name_fingerprint: Callable[[int], str],
        bucket_s: float = DAY_S,
        num_buckets: int = 7,
        remember_s: float = 30.0,
    ) -> None:
        """Count nothing here.

        Args:
            link: the server.
            prefix: of every key.
            name_fingerprint: gives what stands for a fingerprint in its key, the same in all replicas.
            bucket_s: length of a bucket in seconds.
            num_buckets: buckets of the window, the current one included.
            remember_s: seconds for which a count of `LARGE_COUNT` or more is not read again.
        """
        self._link, self._bucket_s, self._num_buckets = link, bucket_s, num_buckets
        self._name_fingerprint = name_fingerprint
        self._prefix = f"{prefix}:{KEYS_VERSION}:count:{FINGERPRINT_VERSION}:"
        self._expire_s = math.ceil((num_buckets + 1) * bucket_s)
        self._ask = Redis().register_script(_ASK)
        self._large: TTLCache[tuple[int, int], float] = TTLCache(_MOST_REMEMBERED, remember_s)
        self._num_dropped = 0
        self._lock = Lock()

    @property
    def num_dropped(self) -> int:
        """Fingerprints whose counts were dropped by this process because they could not be read."""
        return self._num_dropped

    def add(self, fingerprints: Sequence[int], account: str, time_s: float) -> list[float]:
        """See `AccountCounter.add`."""
        return self._count(fingerprints, account, time_s)

    def count(self, fingerprints: Sequence[int], time_s: float) -> list[float]:
        """See `AccountCounter.count`."""
        return self._count(fingerprints, "", time_s)

    def _count(self, fingerprints: Sequence[int], account: str, time_s: float) -> list[float]:
        now = int(time_s // self._bucket_s)
        with self._lock:
            counts = {each: self._large[each, now] for each in fingerprints if (each, now) in self._large}
        asked = [each for each in dict.fromkeys(fingerprints) if each not in counts]
        if asked or (counts and account):
            names = {each: self._prefix + self._name_fingerprint(each) for each in (*asked, *counts)}
            keys = [f"{names[each]}:{now - age}" for each in asked for age in range(self._num_buckets)]
            keys += [f"{names[each]}:{now}" for each in counts] if account else []
            arguments = (account, self._expire_s, self._num_buckets, len(asked))
            num_dropped, *found = self._link.run(lambda client: self._ask(keys=keys, args=arguments, client=client))
            counts |= zip(asked, map(float, found), strict=True)
            with self._lock:
                self._num_dropped += num_dropped
                self._large.update({(each, now): counts[each] for each in asked if counts[each] >= LARGE_COUNT})
        return [counts[each] for each in fingerprints]
