"""A link between two interfaces that takes time: the kernels of small machines have no netem.

usage: delay.py MILLISECONDS ONE OTHER

Each frame is sent on so much later, either way. Prints "ready".
"""

import collections
import select
import socket
import sys
import time

ETH_P_ALL = 3


def opened(interface: str) -> socket.socket:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    end.bind((interface, 0))
    return end


def main() -> None:
    delay = float(sys.argv[1]) / 1000
    one, other = opened(sys.argv[2]), opened(sys.argv[3])
    to = {one: other, other: one}
    waiting: collections.deque[tuple[float, socket.socket, bytes]] = collections.deque()
    print("ready", flush=True)
    while True:
        rest = max(0, waiting[0][0] - time.monotonic()) if waiting else None
        for end in select.select(list(to), [], [], rest)[0]:
            frame, (_, _, kind, *_) = end.recvfrom(65535)
            # What is sent here shows here, too.
            if kind != socket.PACKET_OUTGOING:
                waiting.append((time.monotonic() + delay, to[end], frame))
        while waiting and waiting[0][0] <= time.monotonic():
            _, end, frame = waiting.popleft()
            end.send(frame)


main()
