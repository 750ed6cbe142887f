"""The socket that the service listens on, asked as asyncio asks it."""

from __future__ import annotations

import asyncio
import socket

from stillwatch.serve.service.running import bind_socket
from stillwatch.serve.service.settings import ListenConfig


def test_no_reply_waits_for_the_caller_to_acknowledge_its_head() -> None:
    async def find_option() -> int:
        """Of a connection that came in."""
        found: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def note(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with bind_socket(ListenConfig(port=0)) as listener:
            async with await asyncio.start_server(note, sock=listener):
                _, writer = await asyncio.open_connection(*listener.getsockname()[:2])
                option = await found
                writer.close()
                return option

    assert asyncio.run(find_option())
