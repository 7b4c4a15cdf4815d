#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Work on chains: bytes estimated and moved, the time of a revert, the stall of a pivot, and how fast layers are merged.

    PYTHONPATH=tests QSNAPD=build/agent/qsnapd /usr/bin/python3 tests/bench/chain.py [--rounds N] [--mib N] [--only WHAT]

    bytes    points deleted from random chains: what was estimated, what QEMU wrote, and what the other way would have moved
    revert   from the request to the guest's reset, and how long it stood still
    pivot    the longest gap between two flushed writes around an active commit, beside the same job sent raw
    merge    MiB a second of commit and stream, beside the same jobs sent raw

Both sides take turns in one run, on equal guests. Set QSNAPD to a build with --buildtype=release.
"""
import argparse
import contextlib
import json
import os
import pathlib
import random
import tempfile
import time

from common import Agent, io_of, longest_gap, row, ticks_per_ms, writes
from support import Machine, create_qcow2, programs, qemus

MIB = 1 << 20


class Side:
    """A guest with one disk of 4 GiB."""

    def __init__(self, stack, folder, qemu, paused):
        folder.mkdir()
        self.qemu, self.folder = qemu, folder
        self.disk = create_qcow2(folder / 'disk', '4G', qemu=qemu)
        self.vm = stack.enter_context(Machine(qemu, kind='blockdev', disks=[self.disk], paused=paused))
        if not paused:
            self.vm.wait_for_writes(50)
        self.root = next(block['qdev'] for block in self.vm.qmp.execute('query-block')
                         if 'disk0' in block.get('qdev', '').split('/'))

    def write(self, at, mib, pattern=7):
        for command in (f'write -P {pattern} {at}M {mib}M', 'flush'):
            self.vm.qmp.execute('human-monitor-command', {
                'command-line': f'qemu-io -d {self.root} "{command}"'}, timeout=600)

    def active(self):
        return next(block['inserted']['node-name'] for block in self.vm.qmp.execute('query-block')
                    if block.get('qdev') == self.root)


class Ours(Side):
    def __init__(self, stack, folder, qemu, paused):
        super().__init__(stack, folder, qemu, paused)
        self.agent = Agent(folder)
        stack.callback(self.agent.close)
        self.agent.rest('POST', '/guests', {'monitor': str(self.vm.qmp_path), 'id': 'bench',
                                            'max_chain_length': 0})

    def point(self):
        self.agent.run('/guests/bench/snapshots', {'image': 'none'})

    def points(self):
        return self.agent.rest('GET', '/guests/bench/snapshots')['snapshots']

    def layers(self):
        disks = self.agent.rest('GET', '/guests/bench/disks')['disks']
        return next(disk['layers'] for disk in disks if disk['path'] == str(self.disk))

    def name_of(self, depth):
        return os.path.basename(self.layers()[depth]['path'])

    def ask(self, method, route, body=None):
        """An operation that is not asked for by a POST of its own."""
        operation = self.agent.rest(method, route, body)
        while operation['state'] in ('queued', 'running'):
            operation = self.agent.rest('GET', f'/operations/{operation["id"]}?wait=60')
        if operation['state'] != 'succeeded':
            raise RuntimeError(operation['error'])
        return operation

    def commit(self):
        """The active layer into the one below."""
        return self.ask('POST', '/guests/bench/disks/disk0/commit',
                        {'base': self.name_of(1), 'discard_points': True})

    def commit_below(self):
        return self.ask('POST', '/guests/bench/disks/disk0/commit',
                        {'top': self.name_of(1), 'base': self.name_of(2), 'discard_points': True})

    def stream(self):
        return self.ask('POST', '/guests/bench/disks/disk0/stream', {'base': self.name_of(2)})


class Raw(Side):
    """The same jobs, as one would send them by hand."""

    n = 0

    def point(self):
        self.n += 1
        path = self.folder / f'raw.{self.n}'
        below = self.vm.qmp.execute('query-named-block-nodes', flat=True)
        file = next(node['file'] for node in below if node['node-name'] == self.active())
        programs.img('create', '-q', '-f', 'qcow2', '-u', '-b', file, '-F', 'qcow2', path, '4G', qemu=self.qemu)
        name = f'raw{self.n}'
        self.vm.qmp.execute('blockdev-add', driver='qcow2', node_name=name, backing=None,
                            file={'driver': 'file', 'filename': str(path)})
        self.vm.qmp.execute('blockdev-snapshot', node=self.active(), overlay=name)

    def chain(self):
        """Names of the format nodes, the active one first."""
        nodes = {node['node-name']: node for node in self.vm.qmp.execute('query-named-block-nodes', flat=True)}
        files = {node['file']: name for name, node in nodes.items() if node['drv'] == 'qcow2'}
        chain, name = [], self.active()
        while name:
            chain.append(name)
            name = files.get(nodes[name].get('backing_file'))
        return chain

    def job(self, command, ends_ready, **arguments):
        self.vm.qmp.events.clear()
        self.vm.qmp.execute(command, job_id='j', auto_dismiss=False, **arguments)
        if ends_ready:
            self.vm.qmp.wait_event('JOB_STATUS_CHANGE', {'id': 'j', 'status': 'ready'}, timeout=600)
            self.vm.qmp.execute('job-complete', id='j')
        self.vm.qmp.wait_event('JOB_STATUS_CHANGE', {'id': 'j', 'status': 'concluded'}, timeout=600)
        self.vm.qmp.execute('job-dismiss', id='j')

    def commit(self):
        top, base, *_ = self.chain()
        self.job('block-commit', True, device=top, base_node=base)
        with contextlib.suppress(Exception):
            self.vm.qmp.execute('blockdev-del', node_name=top)

    def commit_below(self):
        active, top, base, *_ = self.chain()
        self.job('block-commit', False, device=active, top_node=top, base_node=base)

    def stream(self):
        active, _, base, *_ = self.chain()
        self.job('block-stream', False, device=active, base_node=base)


def held(path, qemu):
    """The clusters that a layer holds itself."""
    image = {'driver': 'qcow2', 'backing': None, 'file': {'driver': 'file', 'filename': str(path)}}
    text = programs.img('map', '-U', '--output=json', 'json:' + json.dumps(image), qemu=qemu)
    return {at for extent in json.loads(text) if extent['present']
            for at in range(extent['start'] >> 16, (extent['start'] + extent['length'] + 65535) >> 16)}


def bytes_moved(qemu, rounds):
    """The cheaper way is picked, and the estimate is what is moved."""
    print(f'{qemu}: a point deleted from each of {rounds} random chains, paused guest')
    chance, off, saved = random.Random(7), [], []
    for number in range(rounds):
        with tempfile.TemporaryDirectory(prefix='bench-') as folder, contextlib.ExitStack() as stack:
            side = Ours(stack, pathlib.Path(folder) / 'ours', qemu, True)
            depth = chance.randint(3, 7)
            for _ in range(depth):
                for _ in range(chance.randint(1, 4)):
                    side.write(chance.randrange(1, 200), chance.choice([1, 2, 4, 8, 16, 32]))
                side.point()
            side.write(chance.randrange(1, 200), chance.choice([1, 8, 32]))
            layers = side.layers()
            place = chance.randrange(depth)
            layer = layers[len(layers) - 1 - place]['path']     # the oldest point lives in the base
            above = layers[len(layers) - 2 - place]['path']
            ways = {'commit': len(held(above, qemu)) << 16,
                    'stream': len(held(layer, qemu) - held(above, qemu)) << 16}
            point = side.points()[place]['id']
            before = io_of(side.vm)['wchar']       # the guest is paused: what jobs copy, and tables
            result = side.ask('DELETE', f'/guests/bench/snapshots/{point}')['result']
            moved = io_of(side.vm)['wchar'] - before
            move, = result['moves']
            off.append(abs(result['bytes'] - moved) / max(moved, 1) * 100)
            other = next(way for kind, way in ways.items() if kind != move['kind'])
            saved.append(moved / max(1, other))
            print(f'  {depth + 1} layers, point {place}: {move["kind"]:6}  estimated {result["bytes"] / MIB:7.1f}'
                  f'  moved {moved / MIB:7.1f}  the other way {other / MIB:7.1f} MiB')
    row('estimate beside what was moved, % off', off)
    row('moved / the other way', saved)


def revert(qemu, rounds):
    print(f'{qemu}: reverts, guest writing')
    with tempfile.TemporaryDirectory(prefix='bench-') as folder, contextlib.ExitStack() as stack:
        side = Ours(stack, pathlib.Path(folder) / 'ours', qemu, False)
        side.point()
        point = side.points()[0]['id']
        wall, window = [], []
        for _ in range(rounds):
            side.vm.wait_for_writes(20)
            side.vm.qmp.events.clear()
            start = time.monotonic()
            operation = side.ask('POST', f'/guests/bench/snapshots/{point}/revert', {'discard': True})
            wall.append((time.monotonic() - start) * 1000)
            window.append(operation['result']['frozen_us'] / 1000)
            side.vm.qmp.wait_event('RESET')
            mark = side.vm.mark()
            while not side.vm.since(mark):
                time.sleep(0.01)
        row('request to end, ms', wall)
        row('of it the guest stood, ms', window)


def pivot(qemu, rounds, mib):
    print(f'{qemu}: active commits of {mib} MiB, guest writing')
    with tempfile.TemporaryDirectory(prefix='bench-') as folder, contextlib.ExitStack() as stack:
        sides = {'ours': Ours(stack, pathlib.Path(folder) / 'ours', qemu, False),
                 'raw': Raw(stack, pathlib.Path(folder) / 'raw', qemu, False)}
        tick = ticks_per_ms(sides['ours'].vm)
        gaps = {'ours': [], 'raw': [], 'control': []}
        for _ in range(rounds):
            for name, side in sides.items():
                side.point()
                side.write(64, mib)
                side.vm.wait_for_writes(20)
                before = writes(side.vm)
                side.commit()
                after = writes(side.vm)
                side.vm.wait_for_writes(5)
                gaps[name].append(longest_gap(side.vm, before, after) / tick)
            vm = sides['ours'].vm
            before = writes(vm)
            vm.wait_for_writes(max(5, after - before))
            gaps['control'].append(longest_gap(vm, before, writes(vm)) / tick)
        for name, values in gaps.items():
            row(f'longest stall seen by the guest, {name}, ms', values)


def merge(qemu, rounds, mib):
    print(f'{qemu}: {mib} MiB merged, guest writing')
    with tempfile.TemporaryDirectory(prefix='bench-') as folder, contextlib.ExitStack() as stack:
        sides = {'ours': Ours(stack, pathlib.Path(folder) / 'ours', qemu, False),
                 'raw': Raw(stack, pathlib.Path(folder) / 'raw', qemu, False)}
        for way in 'commit', 'commit_below', 'stream':
            speed = {'ours': [], 'raw': []}
            for _ in range(rounds):
                for name, side in sides.items():
                    if way != 'commit':         # base <- what is merged <- active
                        side.point()
                        side.write(64, mib)
                    side.point()
                    if way == 'commit':
                        side.write(64, mib)
                    start = time.monotonic()
                    getattr(side, way)()
                    speed[name].append(mib / (time.monotonic() - start))
            for name, values in speed.items():
                row(f'{way}, {name}, MiB/s', values)
            row(f'{way}, ours / raw', [a / b for a, b in zip(speed['ours'], speed['raw'])])


def main():
    options = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    options.add_argument('--rounds', type=int, default=15)
    options.add_argument('--mib', type=int, default=512, help='MiB of data to merge (512)')
    options.add_argument('--only', choices=['bytes', 'revert', 'pivot', 'merge'], action='append')
    options = options.parse_args()
    qemu = qemus()[0]
    wanted = options.only or ['bytes', 'revert', 'pivot', 'merge']
    if 'bytes' in wanted:
        bytes_moved(qemu, 20)
    if 'revert' in wanted:
        revert(qemu, options.rounds)
    if 'pivot' in wanted:
        pivot(qemu, options.rounds, min(64, options.mib))
    if 'merge' in wanted:
        merge(qemu, options.rounds, options.mib)


if __name__ == '__main__':
    main()
