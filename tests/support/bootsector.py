# SPDX-License-Identifier: Apache-2.0
"""The writing guest and its language: where record n lies, what its sector holds, what it reports.

bootsector.S describes the guest. Whoever else writes records (StorageDaemon) keeps its rules.
"""

import collections
import functools
import pathlib
import struct
import subprocess
import tempfile

SECTOR = 512
FIRST = 64          # the sector of slot 0
SLOTS = 1024        # records per disk before the first one is overwritten
DELAY = 500         # microseconds of rest after each record
HEAD = (FIRST + SLOTS) * SECTOR     # nothing is written behind this many bytes

_MAGIC = b'QREC'
_FRAME = struct.Struct('<BcIQBB')

Frame = collections.namedtuple('Frame', 'kind number ticks')


def place(number, disks):
    """Where record `number` lies when there are `disks` disks: (disk, slot)."""
    return number % disks, number // disks % SLOTS


def offset(slot):
    """Where slot `slot` begins, in bytes."""
    return (FIRST + slot) * SECTOR


def sector(number):
    """What the sector of record `number` holds."""
    return _MAGIC + struct.pack('<I', number) * (SECTOR // 4 - 1)


def number_of(data):
    """The number of the record in a sector, None when it holds none; ValueError when it is torn."""
    if data.count(data[:1]) == SECTOR:  # never written, or the background of a test
        return None
    number, = struct.unpack_from('<I', data, 4)
    if data != sector(number):
        raise ValueError(f'torn or foreign: {data[:16].hex()}...{data[-8:].hex()}')
    return number


def state(last, disks):
    """What records 1 to `last` leave behind: one mapping slot -> number per disk."""
    result = [{} for _ in range(disks)]
    for number in range(max(1, last - disks * SLOTS + 1), last + 1):
        disk, slot = place(number, disks)
        result[disk][slot] = number
    return result


def frames(data):
    """The frames in what the guest sent; what a reset has cut short is skipped."""
    at, result = 0, []
    while (at := data.find(b'\xa5', at)) >= 0 and at + _FRAME.size <= len(data):
        _, kind, number, ticks, check, end = _FRAME.unpack_from(data, at)
        if end == 0x5a and check == functools.reduce(int.__xor__, data[at:at + 14]):
            result.append(Frame(kind.decode('latin-1'), number, ticks))
            at += _FRAME.size
        else:
            at += 1
    return result


def build(floppy, disks, delay=DELAY):
    """Assembles the guest for `disks` disks and writes the floppy to boot it from."""
    source = pathlib.Path(__file__).with_name('bootsector.S')
    symbols = {'DISKS': disks, 'SLOTS': SLOTS, 'FIRST': FIRST, 'DELAY': delay}
    with tempfile.TemporaryDirectory() as folder:
        assembled, linked = folder + '/guest.o', folder + '/guest'
        defined = [f'--defsym={name}={value}' for name, value in symbols.items()]
        subprocess.run(['as', '--32', *defined, '-o', assembled, source], check=True)
        subprocess.run(['ld', '-m', 'elf_i386', '-Ttext', '0x7c00', '--oformat', 'binary',
                        '-o', linked, assembled], check=True)
        code = pathlib.Path(linked).read_bytes()
    assert len(code) == SECTOR, f'the boot sector has {len(code)} bytes'
    pathlib.Path(floppy).write_bytes(code.ljust(1440 * 1024, b'\0'))
