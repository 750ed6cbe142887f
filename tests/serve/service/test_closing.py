"""The last moments of a real listening socket on the loopback."""

from __future__ import annotations

import errno
import select
import socket
import sys
from collections.abc import Iterator

import pytest

from stillwatch.serve.service.closing import accept_all, refuse_handshakes

WAIT_S = 10.0
LOOPBACKS = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))

needs_filter = pytest.mark.skipif(sys.platform != "linux", reason="only Linux filters what reaches a listening socket")


@pytest.fixture(params=LOOPBACKS, ids=["IPv4", "IPv6"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family, host = request.param
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip("this machine has no such loopback")
    with listener:
        listener.setblocking(False)
        yield listener


def connect(listener: socket.socket, timeout_s: float = WAIT_S) -> socket.socket:
    return socket.create_connection(listener.getsockname()[:2], timeout_s)


@needs_filter
def test_a_connection_that_waited_is_accepted_and_works_both_ways(listener: socket.socket) -> None:
    with connect(listener) as caller:
        caller.sendall(b"before, ")
        assert refuse_handshakes(listener)
        caller.sendall(b"after")
        (accepted,) = accept_all(listener)
        listener.close()
        with accepted:
            accepted.settimeout(WAIT_S)
            accepted.sendall(b"reply")
            accepted.shutdown(socket.SHUT_WR)
            caller.shutdown(socket.SHUT_WR)
            assert accepted.makefile("rb").read() == b"before, after"
            assert caller.makefile("rb").read() == b"reply"


@needs_filter
def test_nobody_connects_any_more_and_is_told_so_after_the_close(listener: socket.socket) -> None:
    assert refuse_handshakes(listener)
    with pytest.raises(TimeoutError):
        connect(listener, timeout_s=0.2)
    with socket.socket(listener.family) as early:
        early.setblocking(False)
        early.connect_ex(listener.getsockname())  # asks again after a second
        assert accept_all(listener) == []
        address = listener.getsockname()
        listener.close()
        assert select.select([], [early], [], WAIT_S)[1]
        assert early.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNREFUSED
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address[:2], WAIT_S)


@needs_filter
def test_a_listener_of_both_families_refuses_both() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no socket of both families")
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        assert refuse_handshakes(listener)
        for _, host in LOOPBACKS:
            with pytest.raises(TimeoutError):
                socket.create_connection((host, listener.getsockname()[1]), 0.2)


def test_all_that_wait_are_accepted_and_none_is_no_error(listener: socket.socket) -> None:
    assert accept_all(listener) == []
    callers = [connect(listener) for _ in range(3)]
    accepted = accept_all(listener)
    assert {each.getpeername() for each in accepted} == {caller.getsockname() for caller in callers}
    for each in (*callers, *accepted):
        each.close()


def test_a_socket_without_such_a_filter_is_left_as_it_was() -> None:
    closed = socket.socket()
    closed.close()
    assert not refuse_handshakes(closed)
