"""Sends packets that are written as scapy writes them, by the kernel's routes.

usage: speak.py [--times NUMBER] PACKET...

PACKET begins with its IP or IPv6 header, as in "IP(dst='192.0.2.1')/ICMP()".
"""

import argparse

from scapy.all import *  # noqa: F403 (packets may be of any layer)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=1)
    parser.add_argument("packets", nargs="+")
    wanted = parser.parse_args()
    packets = [eval(text) for text in wanted.packets]
    for packet in packets:
        family, header = (socket.AF_INET, IP) if packet.version == 4 else (socket.AF_INET6, IPv6)
        outlet = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
        for _ in range(wanted.times):
            outlet.sendto(bytes(packet), (packet.dst, 0))


main()
