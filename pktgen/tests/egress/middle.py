"""A link between two interfaces that loses and reorders frames: the kernels of small machines have no netem.

usage: middle.py [--percent NUMBER] [--seed NUMBER] HOST ONE OTHER

So many frames of a hundred from or to HOST (an address of IPv4) are lost, and as many come late, behind the next three.
All others pass as they are. Prints "ready", and at the end how many were lost and late.
"""

import argparse
import ipaddress
import random
import select
import signal
import socket
import time

ETH_P_ALL = 3
# Of asm-generic/socket.h; Python does not name it.
SO_RCVBUFFORCE = 33
# A late frame behind which nothing comes waits no longer.
LATE_MAX = 0.005
BEHIND = 3


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--percent", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("host", type=ipaddress.IPv4Address)
    parser.add_argument("one")
    parser.add_argument("other")
    return parser.parse_args()


def opened(interface: str) -> socket.socket:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    # A burst waits here while Python is busy with another frame: what is lost is for chance to say.
    end.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    end.bind((interface, 0))
    return end


class Way:
    """One direction, and the frame that is late."""

    def __init__(self, to: socket.socket, wanted: argparse.Namespace, chance: random.Random) -> None:
        self.to, self.chance, self.percent = to, chance, wanted.percent
        self.host = wanted.host.packed
        self.late, self.behind, self.until = None, 0, 0.0
        self.lost_count = self.late_count = 0

    def takes(self, frame: bytes) -> None:
        """Sends a frame on, now or later or not at all."""
        if frame[12:14] != b"\x08\x00" or self.host not in (frame[26:30], frame[30:34]):
            self.to.send(frame)
            return
        if self.chance.randrange(100) < self.percent:
            self.lost_count += 1
            return
        if self.late is None and self.chance.randrange(100) < self.percent:
            self.late, self.behind, self.until = frame, 0, time.monotonic() + LATE_MAX
            self.late_count += 1
            return
        self.to.send(frame)
        self.behind += 1
        if self.behind >= BEHIND:
            self.release()

    def release(self) -> None:
        if self.late is not None:
            self.to.send(self.late)
            self.late = None


def main() -> None:
    wanted = options()
    chance = random.Random(wanted.seed)
    one, other = opened(wanted.one), opened(wanted.other)
    ways = {one: Way(other, wanted, chance), other: Way(one, wanted, chance)}
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print("ready", flush=True)
    try:
        while True:
            is_late = any(way.late is not None for way in ways.values())
            for end in select.select(list(ways), [], [], LATE_MAX if is_late else None)[0]:
                frame, (_, _, kind, *_) = end.recvfrom(65535)
                # What is sent here shows here, too.
                if kind != socket.PACKET_OUTGOING:
                    ways[end].takes(frame)
            now = time.monotonic()
            for way in ways.values():
                if way.until <= now:
                    way.release()
    except KeyboardInterrupt:
        print("lost", sum(way.lost_count for way in ways.values()))
        print("late", sum(way.late_count for way in ways.values()))


main()
