# SPDX-License-Identifier: Apache-2.0
"""What must be true after every scenario, whatever the exit codes said.

DATA    check, compare, chain, assert_chain
PREFIX  assert_prefix (all disks at one point), assert_log_prefix (one disk, by a log of writes)
NAME    assert_name (starting from the disk's own path shows every acknowledged record)
GRAPH   graph, assert_graph
LIVE    assert_live

An image is a path (then it is qcow2), a pair (path, format) or a machine.Disk. Images in use may be
read: nothing here locks or changes one. What is compared must not be written to meanwhile: frozen
layers, or the disks of a peer that is gone.
"""

import collections
import json
import os
import pathlib
import struct
import subprocess
import tempfile
import time

from . import bootsector, programs
from .machine import Disk

Layer = collections.namedtuple('Layer', 'path format backing backing_format size')


def _image(image):
    if isinstance(image, tuple):
        return str(image[0]), image[1]
    if isinstance(image, Disk):
        return str(image.path), image.format
    return str(image), 'qcow2'


# DATA

def chain(image, qemu=None):
    """The layers from `image` down, by their headers; names are resolved as QEMU does."""
    path, fmt = _image(image)
    text = programs.img('info', '-U', '--backing-chain', '--output=json', '-f', fmt, path,
                        qemu=qemu)
    return [Layer(layer['filename'], layer['format'], layer.get('backing-filename'),
                  layer.get('backing-filename-format'), layer['virtual-size'])
            for layer in json.loads(text)]


def assert_chain(image, names=None, ours=None, qemu=None):
    """Every layer tells its backing file's format, and the `ours` topmost (all) name it relatively.

    `names` are the expected file names, from the top down. Returns the layers.
    """
    layers = chain(image, qemu)
    for depth, (layer, below) in enumerate(zip(layers, layers[1:])):
        said = layer.backing_format
        assert said, f'{layer.path} does not say which format its backing file {layer.backing} has'
        assert said == below.format, f'{layer.path} says {said} of {below.path}: {below.format}'
        if ours is None or depth < ours:
            assert '/' not in layer.backing, f'{layer.path}: {layer.backing} is not relative'
    assert layers[-1].backing is None, f'{layers[-1].path}: {layers[-1].backing} was not found'
    found = [os.path.basename(layer.path) for layer in layers]
    names = found if names is None else list(map(str, names))
    assert found == names, f'the chain is {found}, expected {names}'
    return layers


def check(image, live=False, qemu=None):
    """qemu-img check is clean on every layer; `live` leaves out the topmost, being written to."""
    for layer in assert_chain(image, ours=0, qemu=qemu)[live:]:
        if layer.format == 'raw':
            continue
        shared = ['-U'] if live else []
        try:
            programs.img('check', '-q', *shared, '-f', layer.format, layer.path, qemu=qemu)
        except subprocess.CalledProcessError as error:
            raise AssertionError(f'check of {layer.path} is not clean:\n{error.output}') from None


def compare(image, other, qemu=None):
    """Both show the guest the same data."""
    (a, a_format), (b, b_format) = _image(image), _image(other)
    try:
        programs.img('compare', '-U', '-f', a_format, '-F', b_format, a, b, qemu=qemu)
    except subprocess.CalledProcessError as error:
        raise AssertionError(f'{a} and {b} differ: {error.output}') from None


# PREFIX and NAME

def records(image, disks=1, index=0, qemu=None):
    """The records in an image, opened offline with all its backing files: slot -> number.

    `disks` and `index` say which of how many disks of its guest it is. Raises AssertionError on a
    sector that is torn or holds a record of another place.
    """
    path, fmt = _image(image)
    with tempfile.NamedTemporaryFile() as head:
        programs.img('dd', '-U', '-f', fmt, '-O', 'raw', f'bs={bootsector.HEAD}', 'count=1',
                     f'if={path}', f'of={head.name}', qemu=qemu)
        data = pathlib.Path(head.name).read_bytes().ljust(bootsector.HEAD, b'\0')
    result = {}
    for slot in range(bootsector.SLOTS):
        at = bootsector.offset(slot)
        try:
            number = bootsector.number_of(data[at:at + bootsector.SECTOR])
        except ValueError as error:
            raise AssertionError(f'{path}: slot {slot}: {error}') from None
        if number is not None:
            assert bootsector.place(number, disks) == (index, slot), (
                f'{path}: disk {index}, slot {slot} holds record {number}, which belongs to '
                f'disk and slot {bootsector.place(number, disks)}'
            )
            result[slot] = number
    return result


def assert_prefix(images, qemu=None):
    """All disks of a guest, in its order, show what its first n records left, for one n; returns n.

    The guest has one write in flight and turns to the disks in order: this is one point over all.
    """
    found = [records(image, len(images), index, qemu) for index, image in enumerate(images)]
    last = max((number for disk in found for number in disk.values()), default=0)
    for index, (disk, expected) in enumerate(zip(found, bootsector.state(last, len(images)))):
        wrong = {
            slot: (disk.get(slot), expected.get(slot))
            for slot in disk.keys() | expected.keys()
            if disk.get(slot) != expected.get(slot)
        }
        assert not wrong, (
            f'not a prefix: {_image(images[index])[0]}: after record {last}, which is there, '
            f'{len(wrong)} slots are wrong, slot: (is, expected): {dict(sorted(wrong.items())[:5])}'
        )
    return last


def assert_name(images, acked, qemu=None):
    """Starting from the disks' own paths shows every record up to `acked`; returns the last one."""
    found = [records(image, len(images), index, qemu) for index, image in enumerate(images)]
    for index, (disk, expected) in enumerate(zip(found, bootsector.state(acked, len(images)))):
        lost = sorted(number for slot, number in expected.items() if disk.get(slot, 0) < number)
        assert not lost, (
            f'lost: {_image(images[index])[0]} lacks {len(lost)} acknowledged records '
            f'(of {acked} on {len(images)} disks), such as {lost[:5]}'
        )
    return assert_prefix(images, qemu)


_LOG_MAGIC, _DISCARD = 0x6a736677736872, 4


def log_entries(log):
    """The entries of a blklogwrites (dm-log-writes) file: (sector, count, flags, data)."""
    with open(log, 'rb') as file:
        magic, version, _, unit = struct.unpack('<QQQI', file.read(28))
        assert (magic, version, unit) == (_LOG_MAGIC, 1, 512), f'{log} is no log of writes'
        file.seek(unit)
        while len(header := file.read(unit)) == unit:
            sector, count, flags, _ = struct.unpack_from('<4Q', header)
            if not count and not flags:
                return
            length = 0 if flags & _DISCARD else count * unit
            if len(data := file.read(length)) < length:
                return  # being written
            yield sector, count, flags, data


def _raw(image, qemu):
    path, fmt = _image(image)
    with tempfile.NamedTemporaryFile() as raw:
        programs.img('convert', '-U', '-f', fmt, '-O', 'raw', path, raw.name, qemu=qemu)
        return pathlib.Path(raw.name).read_bytes()


def assert_log_prefix(log, image, base=None, qemu=None):
    """`image` is `base` (default: zeroes) and the log's first n writes, for some n; returns n."""
    entries = [entry for entry in log_entries(log) if entry[1]]
    frozen = memoryview(_raw(image, qemu))
    replay = bytearray(_raw(base, qemu) if base else len(frozen))
    assert len(frozen) == len(replay), f'the image has {len(frozen)} bytes, its base {len(replay)}'
    piece = lambda data, sector: data[sector * 512:sector * 512 + 512]
    touched = {sector + i for sector, count, _, _ in entries for i in range(count)}
    wrong = {sector for sector in touched if piece(replay, sector) != piece(frozen, sector)}
    matching, closest = [0] * (not wrong), len(wrong)
    for number, (sector, count, flags, data) in enumerate(entries, 1):
        replay[sector * 512:(sector + count) * 512] = data or bytes(count * 512)
        for i in range(sector, sector + count):
            (wrong.discard if piece(replay, i) == piece(frozen, i) else wrong.add)(i)
        closest = min(closest, len(wrong))
        if not wrong:
            matching.append(number)
    assert matching, (
        f'{_image(image)[0]} is no prefix of {log} with {len(entries)} writes: '
        f'after the closest one {closest} sectors differ'
    )
    for sector in touched:  # what no write touched must not differ either
        replay[sector * 512:sector * 512 + 512] = piece(frozen, sector)
    assert replay == frozen, f'{_image(image)[0]} differs from its base where no logged write went'
    return matching[-1]


# GRAPH and LIVE

class Graph:
    """The block graph of a running peer.

    jobs     what query-jobs tells
    nodes    node name -> what query-named-block-nodes tells
    chains   device (or export) -> the files from the active one down
    reached  the names of all nodes that a device or an export uses
    """

    _FORMATS = {'qcow2', 'raw', 'luks', 'qed', 'vmdk', 'vdi', 'vhdx', 'vpc'}

    def __init__(self, qmp):
        self.jobs = qmp.execute('query-jobs')
        for job in self.jobs:       # the next query would kill QEMU
            assert (job['type'], job['status']) != ('stream', 'concluded'), f'left behind: {job}'
        nodes = qmp.execute('query-named-block-nodes', flat=True)
        self.nodes = {node['node-name']: node for node in nodes}
        drawn = qmp.execute('x-debug-query-block-graph')
        name = {node['id']: node['name'] for node in drawn['nodes']
                if node['type'] == 'block-driver'}
        self.children = collections.defaultdict(dict)
        for edge in drawn['edges']:
            if edge['parent'] in name:
                self.children[name[edge['parent']]][edge['name']] = name[edge['child']]
        self.chains, self.reached = {}, set()
        for device, node in self._roots(qmp):
            self.chains[device] = self._files(node)
            self._reach(node)

    @staticmethod
    def _roots(qmp):
        commands = {command['name'] for command in qmp.execute('query-commands')}
        for block in qmp.execute('query-block') if 'query-block' in commands else ():
            if 'inserted' in block:
                path = block.get('qdev') or block['device']
                device = path.split('/')[3] if path.startswith('/machine/peripheral/') else path
                yield device, block['inserted']['node-name']
        for export in qmp.execute('query-block-exports'):
            yield export['id'], export['node-name']

    def _files(self, node):
        files = []
        while node:
            below = self.children[node]
            if self.nodes[node]['drv'] in self._FORMATS:
                files.append(self._file(below['file']))
                node = below.get('backing')
            elif below:  # a filter
                node = below.get('file') or below.get('backing')
            else:
                files.append(self.nodes[node]['file'])
                node = None
        return files

    def _file(self, node):
        while below := self.children[node]:         # a filter
            node = below.get('file') or below.get('image')
        return self.nodes[node]['file']

    def _reach(self, node):
        if node not in self.reached:
            self.reached.add(node)
            for below in self.children[node].values():
                self._reach(below)


def graph(qmp):
    """The block graph as it is now."""
    return Graph(qmp)


def assert_graph(qmp, chains=None, ours=None, prefix='qsnap-'):
    """No stray job and no node of ours that no device uses; returns the graph.

    chains  device -> the file names expected from the active one down, or only the active one's
    ours    exactly the nodes that may bear our prefix
    """
    now = graph(qmp)
    assert not now.jobs, f'stray jobs: {now.jobs}'
    bearing = {name for name in now.nodes if name.startswith(prefix)}
    assert bearing <= now.reached, f'nodes that nothing uses: {sorted(bearing - now.reached)}'
    ours = bearing if ours is None else set(ours)
    assert bearing == ours, f'our nodes are {sorted(bearing)}, expected {sorted(ours)}'
    for device, expected in (chains or {}).items():
        assert device in now.chains, f'no device {device} has a medium, only {sorted(now.chains)}'
        found = now.chains[device]
        if not isinstance(expected, (list, tuple)):
            found, expected = found[:1], [expected]
        expected = list(map(str, expected))
        assert found == expected, f'{device} uses {found}, expected {expected}'
    return now


def assert_live(qmp, limit=0.1):
    """The second monitor answers within `limit` seconds."""
    begun = time.monotonic()
    qmp.execute('query-version', timeout=30)
    took = time.monotonic() - begun
    assert took < limit, f'it took {took * 1000:.0f} ms to answer, of {limit * 1000:.0f} allowed'
