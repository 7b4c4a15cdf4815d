# SPDX-License-Identifier: Apache-2.0
"""Disk images to start from; every format is explicit."""

import json
import os
import pathlib
import struct

from . import programs

SIZE = '64M'


def create_raw(path, size=SIZE, content=b'', qemu=None):
    """A raw file, `content` at its end (behind all records); returns its path."""
    programs.img('create', '-q', '-f', 'raw', path, size, qemu=qemu)
    with open(path, 'r+b') as file:
        file.seek(-len(content), os.SEEK_END)
        file.write(content)
    return pathlib.Path(path)


def create_qcow2(path, size=None, backing=None, backing_format='qcow2', options='', qemu=None):
    """A qcow2 image; `backing` is written as it is given (relative to the image's folder)."""
    arguments = ['create', '-q', '-f', 'qcow2']
    if options:
        arguments += ['-o', options]
    if backing:
        arguments += ['-b', backing, '-F', backing_format]
    elif not size:
        size = SIZE
    programs.img(*arguments, path, *filter(None, [size]), qemu=qemu)
    return pathlib.Path(path)


def sector_of(path, at, qemu=None):
    """Where in a qcow2 file that has its clusters already the guest's byte `at` is kept, in sectors."""
    extents = json.loads(programs.img('map', '--output=json', '-f', 'qcow2', path, qemu=qemu))
    extent = next(each for each in extents
                  if each['start'] <= at < each['start'] + each['length'])
    return (extent['offset'] + at - extent['start']) // 512


def table_sector_of(path, at):
    """Where a qcow2 file keeps the table of the guest's byte `at`, in sectors."""
    with open(path, 'rb') as file:
        file.seek(20)
        cluster_bits, _, _, _, first = struct.unpack('>IQIIQ', file.read(28))
        file.seek(first + 8 * (at >> (2 * cluster_bits - 3)))
        entry, = struct.unpack('>Q', file.read(8))
    table = entry & 0x00fffffffffffe00
    assert table, f'{path} has no table yet for what is at {at}'
    return table // 512
