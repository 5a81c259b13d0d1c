"""Count the connection attempts at a port, also while nothing listens there."""

import ctypes
import socket
import struct
import threading
import time
from typing import Self

SO_ATTACH_FILTER = 26
# The first byte after an IPv4 header of 20: ports, then the flags 13 bytes on. A SYN alone is 2.
PORT_AT, FLAGS_AT, SYN = 22, 33, 2
LOAD_HALF, LOAD_BYTE, JUMP_EQUAL, RETURN = 0x28, 0x30, 0x15, 0x06
TICK_S = 0.2


class Knocks:
    """The times (monotonic) of attempts to connect to a port of the loopback interface.

    The kernel refuses a connection to a closed port without telling any process, so this reads
    the packets. It needs the right to do so (CAP_NET_RAW); `counted` is False without it.
    """

    def __init__(self, port: int) -> None:
        self.times: list[float] = []
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        try:
            self._packets = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
        except PermissionError:
            self.counted = False
            return
        self.counted = True
        attach_filter(self._packets, port)
        self._packets.settimeout(TICK_S)
        self._thread = threading.Thread(target=self._read, name="knocks", daemon=True)

    def __enter__(self) -> Self:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        if self._thread:
            self._thread.join()
            self._packets.close()

    def _read(self) -> None:
        while not self._stopped.is_set():
            try:
                self._packets.recv(128)
            except TimeoutError:
                continue
            self.times.append(time.monotonic())


def attach_filter(packets: socket.socket, port: int) -> None:
    """Have the kernel pass on only the first packets of connections to this port."""
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (LOAD_HALF, 0, 0, PORT_AT),
            (JUMP_EQUAL, 0, 3, port),
            (LOAD_BYTE, 0, 0, FLAGS_AT),
            (JUMP_EQUAL, 0, 1, SYN),
            (RETURN, 0, 0, 128),
            (RETURN, 0, 0, 0),
        )
    )
    instructions = ctypes.create_string_buffer(program)
    wanted = struct.pack("HL", len(program) // 8, ctypes.addressof(instructions))
    packets.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, wanted)
