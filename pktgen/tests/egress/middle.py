"""A link between two interfaces that loses and reorders frames: the kernels of small machines have no netem.

usage: middle.py [--percent NUMBER] [--seed NUMBER] [--strict] HOSTS ONE OTHER

So many frames of a hundred from or to one of HOSTS (addresses of IPv4, apart by commas) are lost, and as many come late,
behind the next three. All others pass as they are. With --strict it is TCP alone that suffers so, and no SYN passes that
bears data. Prints "ready", and at the end
how many were lost, late and eaten so.
"""

import argparse
import ipaddress
import random
import select
import signal
import socket
import time

ETH_P_ALL = 3
TCP = 6
# Of asm-generic/socket.h; Python does not name it.
SO_RCVBUFFORCE = 33
# A late frame behind which nothing comes waits no longer.
LATE_MAX = 0.005
BEHIND = 3


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--percent", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("hosts", type=lambda text: [ipaddress.IPv4Address(host).packed for host in text.split(",")])
    parser.add_argument("one")
    parser.add_argument("other")
    return parser.parse_args()


def opened(interface: str) -> socket.socket:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    # A burst waits here while Python is busy with another frame: what is lost is for chance to say.
    end.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    end.bind((interface, 0))
    return end


def bears(frame: bytes) -> bool:
    """Whether a segment is a SYN with data; what answers one may have it."""
    header_len = (frame[14] & 15) * 4
    segment = frame[14 + header_len : 14 + int.from_bytes(frame[16:18], "big")]
    return segment[13] & 0x12 == 2 and len(segment) > (segment[12] >> 4) * 4


class Way:
    """One direction, and the frame that is late."""

    def __init__(self, to: socket.socket, wanted: argparse.Namespace, chance: random.Random) -> None:
        self.to, self.chance, self.percent = to, chance, wanted.percent
        self.hosts, self.strict = wanted.hosts, wanted.strict
        self.late, self.behind, self.until = None, 0, 0.0
        self.lost_count = self.late_count = self.eaten_count = 0

    def takes(self, frame: bytes) -> None:
        """Sends a frame on, now or later or not at all."""
        is_theirs = frame[26:30] in self.hosts or frame[30:34] in self.hosts
        if frame[12:14] != b"\x08\x00" or not is_theirs or self.strict and frame[23] != TCP:
            self.to.send(frame)
            return
        if self.strict and bears(frame):
            self.eaten_count += 1
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
        print("eaten", sum(way.eaten_count for way in ways.values()))


main()
