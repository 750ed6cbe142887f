"""Ends a listening socket without cutting a connection that its caller holds for made.

A kernel completes handshakes on its own. So between the last `accept` and the `close` there is always a moment in
which one more connection is made, and `close` resets it: its caller sees an error for a call that nobody read. Linux
has no word for "complete the handshakes under way and begin none", but it runs a filter over what arrives at a
listening socket, for which it needs no privilege. `refuse_handshakes` gives it one that drops first packets (SYN
without ACK; their callers ask again after a second and are refused by then) and lets the rest through.

Where there is no such filter (other systems, a kernel without it) that moment stays, some microseconds short. A
handshake that takes longer than the wait between `refuse_handshakes` and `close` is cut all the same.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import sys

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python has no name for it

_LOAD_BYTE = 0x30  # A <- packet[k]; linux/bpf_common.h has these: BPF_LD | BPF_B | BPF_ABS
_AND = 0x54  # A <- A & k: BPF_ALU | BPF_AND | BPF_K
_JUMP_IF_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN = 0x06  # how many bytes of the packet to keep: BPF_RET | BPF_K

_FLAGS_AT = 13  # the packet begins with its TCP header, over IPv4 and IPv6; RFC 9293, section 3.1
_SYN, _ACK = 0x02, 0x10

_FILTER = (  # code, skip if so, skip if not, k
    (_LOAD_BYTE, 0, 0, _FLAGS_AT),
    (_AND, 0, 0, _SYN | _ACK),
    (_JUMP_IF_EQUAL, 0, 1, _SYN),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, 0xFFFFFFFF),
)


def refuse_handshakes(listener: socket.socket) -> bool:
    """Let a listening TCP socket begin no handshake from here on; those under way complete and can be accepted.

    Returns:
        Whether the system does so; if not, nothing has changed.
    """
    if sys.platform != "linux":
        return False
    instructions = b"".join(struct.pack("HBBI", *instruction) for instruction in _FILTER)
    program = ctypes.create_string_buffer(instructions, len(instructions))  # the kernel copies it
    try:
        listener.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(_FILTER), ctypes.addressof(program))
        )
    except OSError:
        return False
    return True


def accept_all(listener: socket.socket) -> list[socket.socket]:
    """The connections that wait for a listening socket that does not block."""
    accepted: list[socket.socket] = []
    try:
        while True:
            accepted.append(listener.accept()[0])
    except BlockingIOError:
        return accepted
