#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""unpack_kernel.py VMLINUZ VMLINUX: the ELF file inside a bzImage.

QEMU boots that directly (PVH). Under emulation, where the kernel's own unpacking takes seconds, a boot is that much
shorter. Fields of the header: Documentation/arch/x86/boot.rst of the kernel.
"""
import gzip
import lzma
import struct
import sys


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    image = open(sys.argv[1], "rb").read()
    if image[0x202:0x206] != b"HdrS":
        sys.exit(f"{sys.argv[1]} is not a bzImage")
    sectors = image[0x1F1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (sectors + 1) * 512 + offset
    payload = image[start:start + length]
    if payload.startswith(b"\xfd7zXZ"):
        kernel = lzma.LZMADecompressor().decompress(payload)
    elif payload.startswith(b"\x1f\x8b"):
        kernel = gzip.decompress(payload)
    else:
        sys.exit(f"{sys.argv[1]}: its payload is neither xz nor gzip: {payload[:6].hex()}")
    if not kernel.startswith(b"\x7fELF"):
        sys.exit(f"{sys.argv[1]}: its payload is no ELF file")
    with open(sys.argv[2], "wb") as out:
        out.write(kernel)


if __name__ == "__main__":
    main()
