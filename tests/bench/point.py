#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Request to point, and what the guest feels of it: the agent beside the same commands sent raw.

    PYTHONPATH=tests QSNAPD=build/agent/qsnapd /usr/bin/python3 tests/bench/point.py [--points N] [--kind drive|blockdev]

Both sides take turns on equal guests in one run, a control window with nothing done beside them. The guest writes one
record at a time, each flushed; a stall is the longest gap between two acknowledgements around the point, by the
guest's own clock. That clock stands still while QEMU is stopped, so the first point of a -drive guest is told apart.
"""
import argparse
import datetime
import pathlib
import subprocess
import tempfile
import time

from common import Agent, longest_gap, row, ticks_per_ms, writes
from support import Machine, create_qcow2, qemus


def around(vm, act):
    """ACT's result, and the longest gap around it."""
    vm.wait_for_writes(10)
    before = writes(vm)
    result = act()
    after = writes(vm)
    vm.wait_for_writes(5)
    return result, longest_gap(vm, before, after)


def agent_point(agent, guest):
    start = time.time()
    agent.run(f'/guests/{guest}/snapshots', {'image': 'none'})
    taken = agent.rest('GET', f'/guests/{guest}/snapshots')['snapshots'][-1]['taken']
    moment = datetime.datetime.fromisoformat(taken.replace('Z', '+00:00')).timestamp()
    return moment - start


class Raw:
    """The same commands for a later point, by hand: overlays opened, then the transaction."""

    def __init__(self, vm, disks):
        self.vm, self.n = vm, 0
        self.active = {i: f'node{i}' for i in range(len(disks))}
        self.top = {i: pathlib.Path(disk) for i, disk in enumerate(disks)}

    def prepare(self):
        self.n += 1
        self.next = {}
        for i, top in self.top.items():
            self.next[i] = top.parent / f'raw.{self.n}'
            subprocess.run(['qemu-img', 'create', '-q', '-f', 'qcow2', '-u', '-b', str(top), '-F', 'qcow2',
                            str(self.next[i]), '64M'], check=True)

    def __call__(self):
        start = time.time()
        actions = []
        for i, path in self.next.items():
            name = f'raw{self.n}-{i}'
            self.vm.qmp.execute('blockdev-add', driver='file', node_name=name + 'f', filename=str(path))
            self.vm.qmp.execute('blockdev-add', driver='qcow2', node_name=name, file=name + 'f', backing=None)
            actions.append({'type': 'blockdev-snapshot', 'data': {'node': self.active[i], 'overlay': name}})
            self.active[i] = name
            self.top[i] = path
        self.vm.qmp.execute('transaction', actions=actions)
        return time.time() - start


def idle(qemu, kind, points):
    """Request to point of guests that write nothing."""
    print(f'{qemu}, -{kind} guest, two virtio disks, paused')
    with tempfile.TemporaryDirectory(prefix='bench-') as folder:
        folder = pathlib.Path(folder)
        sides = make_disks(folder)
        agent = Agent(folder)
        try:
            with Machine(qemu, kind=kind, disks=sides['agent'], paused=True) as ours, \
                    Machine(qemu, kind='blockdev', disks=sides['raw'], paused=True) as other:
                agent.rest('POST', '/guests', {'monitor': str(ours.qmp_path), 'id': 'bench'})
                raw = Raw(other, sides['raw'])
                agent_point(agent, 'bench')
                latency = {'agent': [], 'raw': []}
                for _ in range(points):
                    latency['agent'].append(agent_point(agent, 'bench') * 1000)
                    raw.prepare()
                    latency['raw'].append(raw() * 1000)
                row('request to point, agent, ms', latency['agent'])
                row('the same commands raw, ms', latency['raw'])
        finally:
            agent.close()


def make_disks(folder):
    sides = {}
    for side in ('agent', 'raw'):
        sides[side] = []
        for disk in 'ab':
            (folder / side / disk).mkdir(parents=True)
            sides[side].append(create_qcow2(folder / side / disk / 'disk'))
    return sides


def measure(qemu, kind, points):
    print(f'{qemu}, -{kind} guest, two virtio disks')
    with tempfile.TemporaryDirectory(prefix='bench-') as folder:
        folder = pathlib.Path(folder)
        sides = make_disks(folder)
        agent = Agent(folder)
        try:
            with Machine(qemu, kind=kind, disks=sides['agent']) as ours, \
                    Machine(qemu, kind='blockdev', disks=sides['raw']) as other:
                ours.wait_for_writes(100)
                other.wait_for_writes(100)
                agent.rest('POST', '/guests', {'monitor': str(ours.qmp_path), 'id': 'bench'})
                at_rest = agent.memory()
                raw = Raw(other, sides['raw'])
                tick = ticks_per_ms(ours)
                latency, stall = {'agent': [], 'raw': []}, {'agent': [], 'raw': [], 'control': []}

                first, gap = around(ours, lambda: agent_point(agent, 'bench'))
                operation = agent.rest('GET', '/operations')['operations'][0]
                print(f'  first point: {first * 1000:.2f} ms from the request, window '
                      f'{operation["result"]["frozen_us"] / 1000:.2f} ms, longest gap seen by the guest '
                      f'{gap / tick:.2f} ms')
                for _ in range(points):
                    seconds, gap = around(ours, lambda: agent_point(agent, 'bench'))
                    latency['agent'].append(seconds * 1000)
                    stall['agent'].append(gap / tick)
                    raw.prepare()
                    seconds, gap = around(other, raw)
                    latency['raw'].append(seconds * 1000)
                    stall['raw'].append(gap / tick)
                    _, gap = around(ours, lambda: ours.wait_for_writes(5))
                    stall['control'].append(gap / tick)
                row('request to point, agent, ms', latency['agent'])
                row('the same commands raw, ms', latency['raw'])
                row('guest-visible stall, agent, ms', stall['agent'])
                row('guest-visible stall, raw, ms', stall['raw'])
                row('guest-visible stall, control, ms', stall['control'])
                print(f'  the agent holds {at_rest} KiB idle, {agent.memory()} KiB after {points + 1} points')
        finally:
            agent.close()


def main():
    options = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    options.add_argument('--points', type=int, default=15)
    options.add_argument('--kind', choices=['drive', 'blockdev'], action='append')
    options.add_argument('--idle', action='store_true', help='paused guests: request to point alone')
    options = options.parse_args()
    for qemu in qemus():
        for kind in options.kind or ['drive', 'blockdev']:
            (idle if options.idle else measure)(qemu, kind, options.points)


if __name__ == '__main__':
    main()
