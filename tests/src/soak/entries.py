"""Counts the entries of the eBPF maps that a process holds: prints a line with name and number each.

Argument: the process id. System calls by hand, for no library of Debian's Python knows them."""

import ctypes
import glob
import os
import struct
import sys

BPF = 321  # the number of bpf(2) on x86-64
MAP_GET_NEXT_KEY, MAP_GET_FD_BY_ID, OBJ_GET_INFO_BY_FD = 4, 14, 15
HASHES = {1, 5, 9, 10}  # hash, per-CPU hash, and both with least recently used ones going

libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    return libc.syscall(BPF, command, buffer, 128)


def entries(fd, key_size):
    key = ctypes.create_string_buffer(key_size)
    following = ctypes.create_string_buffer(key_size)
    count, first = 0, True
    while True:
        start = 0 if first else ctypes.addressof(key)
        attributes = struct.pack("<IIQQ", fd, 0, start, ctypes.addressof(following))
        if bpf(MAP_GET_NEXT_KEY, attributes) != 0:
            return count
        count, first = count + 1, False
        key.raw = following.raw


ids = set()
for path in glob.glob(f"/proc/{sys.argv[1]}/fdinfo/*"):
    try:
        with open(path) as file:
            ids.update(int(line.split()[1]) for line in file if line.startswith("map_id:"))
    except FileNotFoundError:
        pass
for number in sorted(ids):
    fd = bpf(MAP_GET_FD_BY_ID, struct.pack("<I", number))
    if fd < 0:
        continue
    info = ctypes.create_string_buffer(256)
    bpf(OBJ_GET_INFO_BY_FD, struct.pack("<IIQ", fd, 256, ctypes.addressof(info)))
    kind, _, key_size, _, _, _ = struct.unpack_from("<6I", info.raw)
    name = info.raw[24:40].split(b"\0")[0].decode()
    if kind in HASHES:
        print(name, entries(fd, key_size))
    os.close(fd)
