"""A tenant's router: carries packets between a tun device and GRE (RFC 2784, RFC 2890), in scapy's words.

usage: router.py [--key NUMBER] [--checksum] LOCAL REMOTE DEVICE

Prints "ready" once the device is there, and answers nothing itself. What is odd about a packet is printed in a line that
begins with "odd:", and such a packet goes no further. Everything else is up to the kernel behind the device.
"""

import argparse
import ipaddress
import os
import select
import socket

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE
from scapy.layers.tuntap import TunTapInterface
from scapy.utils import checksum

# RFC 2784 2.4: the inner packet's Ethernet type; an empty one is how the far end answers a keepalive.
IPV4, IPV6, EMPTY = 0x0800, 0x86DD, 0
# Of asm-generic/socket.h; Python does not name it.
SO_RCVBUFFORCE = 33


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--key", type=int)
    parser.add_argument("--checksum", action="store_true")
    parser.add_argument("local", type=ipaddress.ip_address)
    parser.add_argument("remote", type=ipaddress.ip_address)
    parser.add_argument("device")
    return parser.parse_args()


def connected(wanted: argparse.Namespace) -> socket.socket:
    """What the kernel hears of the server in GRE, put together where it came in fragments."""
    family = socket.AF_INET if wanted.local.version == 4 else socket.AF_INET6
    outside = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_GRE)
    # A burst waits here while Python is busy with another packet.
    outside.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 8 << 20)
    outside.bind((str(wanted.local), 0))
    outside.connect((str(wanted.remote), 0))
    return outside


def oddity(octets: bytes, gre: GRE, wanted: argparse.Namespace) -> str | None:
    """Why this is not what a tunnel like ours carries."""
    if gre.version != 0 or gre.routing_present or gre.recursion_control or gre.flags:
        return f"header {octets[:4].hex()}"
    if gre.key != wanted.key:
        return f"key {gre.key}"
    if bool(gre.chksum_present) != wanted.checksum:
        return "checksum there" if gre.chksum_present else "no checksum"
    if gre.chksum_present and checksum(octets) != 0:
        return f"wrong checksum {gre.chksum:04x}"
    if {IPV4: 4, IPV6: 6}.get(gre.proto) != bytes(gre.payload)[0] >> 4:
        return f"protocol {gre.proto:04x}"
    return None


def undress(octets: bytes, inside: TunTapInterface, wanted: argparse.Namespace) -> None:
    # Of IPv4 the kernel hands over the outer header too.
    if wanted.local.version == 4:
        octets = bytes(IP(octets).payload)
    gre = GRE(octets)
    if gre.proto == EMPTY and not gre.payload:
        print("keepalive answered", flush=True)
    elif odd := oddity(octets, gre, wanted):
        print(f"odd: {odd}: {octets.hex()}", flush=True)
    else:
        inside.send(gre.payload)


def dress(packet: IP | IPv6, wanted: argparse.Namespace) -> bytes:
    present = {"chksum_present": int(wanted.checksum)}
    if wanted.key is not None:
        present |= {"key_present": 1, "key": wanted.key}
    return bytes(GRE(**present) / packet)


def is_of_the_link(packet: IP | IPv6) -> bool:
    """What a kernel says on a link by itself, and no router carries on."""
    return ipaddress.ip_address(packet.dst).is_multicast or ipaddress.ip_address(packet.src).is_link_local


def main() -> None:
    wanted = options()
    outside, inside = connected(wanted), TunTapInterface(wanted.device, mode_tun=True)
    print("ready", flush=True)
    # A router has a processor of its own: here it goes first, for its answers to probes are timed.
    os.nice(-10)
    while True:
        readable, _, _ = select.select([outside, inside.ins], [], [])
        try:
            if outside in readable:
                undress(outside.recv(65_535), inside, wanted)
            if inside.ins in readable:
                packet = inside.recv()
                if not is_of_the_link(packet):
                    outside.send(dress(packet, wanted))
        except OSError as reason:
            # A device that is not up yet, or an error that came back about a packet.
            print(f"lost: {reason}", flush=True)


main()
