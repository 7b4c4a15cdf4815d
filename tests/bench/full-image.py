#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A full image of a running guest: ours beside the two recipes that people use, and beside a ready file that is only sent.

    PYTHONPATH=tests QSNAPD=build/agent/qsnapd QSNAP_TOOLS=build /usr/bin/python3 tests/bench/full-image.py [--rounds N]

mirror    Nova's: blockdev-mirror to a scratch file, qemu-img convert, curl -T
overlay   a snapshot by hand, qemu-img convert, curl -T, block-commit
ready     a flattened file that is there already, curl -T: nothing can be faster, and it is of yesterday

All take turns on one guest in one run. Into Glance the guest writes all the time; into the sink, which counts and keeps nothing
but has to know the hashes beforehand, it is paused. Bytes are what reached or left the disk (ru_inblock, ru_oublock, /proc/PID/io)
on our side of the service; the host's cache is emptied before each run. Set QSNAPD to a build with --buildtype=release.
"""
import argparse
import contextlib
import hashlib
import os
import pathlib
import subprocess
import tempfile
import time
import uuid

from common import Agent, io_of, longest_gap, row, ticks_per_ms, writes
from support import Machine, qemus
from support.glance import Glance

MIB = 1 << 20
RECORD = {'name': 'bench', 'disk_format': 'qcow2', 'container_format': 'bare'}


class Sink:
    name = 'a sink that only counts (guest paused)'
    paused = True

    def __init__(self, folder):
        self.expected = None

    def expect(self, size, md5, sha512):
        self.close()
        self.process = subprocess.Popen(
            [os.environ['QSNAP_TOOLS'] + '/tests/bench/bench-sink', str(size), md5, sha512],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f'http://127.0.0.1:{int(self.process.stdout.readline())}'

    process = None

    def create(self):
        return str(uuid.uuid4())

    def delete(self, image):
        pass

    def close(self):
        if self.process:
            self.process.communicate()


class RealGlance:
    name = 'Glance (guest writing)'
    paused = False

    def __init__(self, folder):
        self.glance = Glance(folder=folder / 'glance').start()
        self.url = self.glance.url

    def expect(self, *_):
        pass

    def create(self):
        status, image = self.glance.call('POST', '/v2/images', RECORD)
        assert status == 201, image
        return image['id']

    def delete(self, image):
        self.glance.call('DELETE', f'/v2/images/{image}')

    def close(self):
        self.glance.stop()


class Usage:
    """What tools and QEMU have read from and written to the disk, in MiB."""

    def __init__(self, vm):
        self.vm, self.read, self.written = vm, 0, 0
        self.qemu = self._of_qemu()

    def _of_qemu(self):
        values = io_of(self.vm)
        return values['read_bytes'] / MIB, values['write_bytes'] / MIB

    def add(self, usage):
        self.read += usage.ru_inblock / 2048
        self.written += usage.ru_oublock / 2048

    def tool(self, *command):
        process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f'{command[0]} ended with {process.returncode}')
        self.add(usage)

    def finish(self):
        before, after = self.qemu, self._of_qemu()
        self.read += after[0] - before[0]
        self.written += after[1] - before[1]


def wait_job(vm, job, state):
    while True:
        found = [each['status'] for each in vm.qmp.execute('query-jobs') if each['id'] == job]
        if not found or state in found or 'concluded' in found:
            return
        vm.qmp.wait_event('JOB_STATUS_CHANGE', timeout=600)


def send(usage, target, file):
    image = target.create()
    usage.tool('curl', '-sSf', '-H', 'Content-Type: application/octet-stream', '-T', file,
               f'{target.url}/v2/images/{image}/file')
    return image


def mirror(vm, qemu, folder, target, usage):
    scratch, flat = folder / 'scratch', folder / 'flat'
    subprocess.run([qemu.img, 'create', '-q', '-f', 'qcow2', str(scratch), '4G'], check=True)
    vm.qmp.execute('blockdev-add', driver='qcow2', node_name='scratch',
                   file={'driver': 'file', 'filename': str(scratch)})
    vm.qmp.execute('blockdev-mirror', job_id='m', device=vm.top, target='scratch', sync='full', auto_dismiss=False)
    wait_job(vm, 'm', 'ready')
    vm.qmp.execute('block-job-cancel', device='m')
    wait_job(vm, 'm', 'concluded')
    vm.qmp.execute('job-dismiss', id='m')
    vm.qmp.execute('blockdev-del', node_name='scratch')
    usage.tool(qemu.img, 'convert', '-f', 'qcow2', '-O', 'qcow2', scratch, flat)
    image = send(usage, target, flat)
    scratch.unlink(), flat.unlink()
    return image


def overlay(vm, qemu, folder, target, usage):
    top, flat = folder / 'overlay', folder / 'flat'
    below = next(path for path in (folder / 'disk.0', folder / 'disk') if path.exists())
    subprocess.run([qemu.img, 'create', '-q', '-u', '-f', 'qcow2', '-b', str(below), '-F', 'qcow2', str(top), '4G'],
                   check=True)
    vm.qmp.execute('blockdev-add', driver='qcow2', node_name='top', backing=None,
                   file={'driver': 'file', 'filename': str(top), 'discard': 'unmap'})
    vm.qmp.execute('blockdev-snapshot', node=vm.top, overlay='top')
    usage.tool(qemu.img, 'convert', '-f', 'qcow2', '-O', 'qcow2', below, flat)
    image = send(usage, target, flat)
    vm.qmp.execute('block-commit', job_id='c', device='top', base_node=vm.top, auto_dismiss=False)
    wait_job(vm, 'c', 'ready')
    vm.qmp.execute('job-complete', id='c')
    wait_job(vm, 'c', 'concluded')
    vm.qmp.execute('job-dismiss', id='c')
    vm.qmp.execute('blockdev-del', node_name='top')
    top.unlink(), flat.unlink()
    return image


class Ours:
    """A daemon for each image, so that all it and its children use is seen."""

    def __init__(self):
        self.memory, self.frozen, self.pivot = [], [], []

    def __call__(self, vm, qemu, folder, target, usage):
        agent = Agent(folder, target.url)
        try:
            agent.rest('POST', '/guests', {'monitor': str(vm.qmp_path), 'id': 'bench'})
            idle = agent.memory()
            start = time.monotonic()
            operation = agent.run('/guests/bench/images', {'name': 'bench'})
            self.seconds = time.monotonic() - start
            self.memory.append((agent.memory('VmHWM') - idle) / 1024)
            self.frozen.append(operation['result']['frozen_us'] / 1000)
            self.pivot.append(operation['result']['pivot_us'] / 1000)
            agent.rest('DELETE', '/guests/bench')
        finally:
            usage.add(agent.close())
        return operation['result']['images'][0]['id']


def ready(vm, qemu, folder, target, usage):
    return send(usage, target, folder / 'ready')


def prepare(qemu, folder, mib):
    disk, raw = folder / 'disk', folder / 'raw'
    with open(raw, 'wb') as output:
        output.truncate(4096 * MIB)
        for i in range(mib):
            output.seek((2 * i + 1) * MIB)
            output.write(os.urandom(MIB))
    for flat in disk, folder / 'ready':
        subprocess.run([qemu.img, 'convert', '-f', 'raw', '-O', 'qcow2', str(raw), str(flat)], check=True)
    raw.unlink()
    return disk


def learn(target, vm, folder):
    """Tells the sink what it will get from us: the guest is paused, so it is the same each time."""
    agent = Agent(folder)
    agent.rest('POST', '/guests', {'monitor': str(vm.qmp_path), 'id': 'bench'})
    image = agent.run('/guests/bench/images', {'name': 'learn'})['result']['images'][0]
    agent.rest('DELETE', '/guests/bench')
    agent.close()
    content = (folder / 'images' / f'{image["id"]}.qcow2').read_bytes()
    target.expect(len(content), hashlib.md5(content).hexdigest(), hashlib.sha512(content).hexdigest())
    (folder / 'images' / f'{image["id"]}.qcow2').unlink()
    return image['size']


def active_node(vm):
    return next(device['inserted']['node-name'] for device in vm.qmp.execute('query-block')
                if 'inserted' in device and not device['inserted']['ro'])


def measure(qemu, into, rounds, mib):
    with tempfile.TemporaryDirectory(prefix='bench-') as folder, contextlib.ExitStack() as stack:
        folder = pathlib.Path(folder)
        disk = prepare(qemu, folder, mib)
        target = into(folder)
        stack.callback(target.close)
        vm = stack.enter_context(Machine(qemu, kind='blockdev', disks=[disk], paused=target.paused))
        if not target.paused:
            vm.wait_for_writes(100)
        size = learn(target, vm, folder)
        ours = Ours()
        ways = {'ours': ours, 'mirror': mirror, 'overlay': overlay, 'ready': ready}
        figures = {way: {'s': [], 'read': [], 'written': [], 'iops': [], 'gap': []} for way in ways}
        control = []
        tick = None if target.paused else ticks_per_ms(vm)
        print(f'{qemu}: {mib} MiB of data in 4 GiB, {size / MIB:.0f} MiB sent, into {target.name}')
        for _ in range(rounds):
            for way, act in ways.items():
                vm.top = active_node(vm)
                os.sync()
                with contextlib.suppress(OSError):
                    pathlib.Path('/proc/sys/vm/drop_caches').write_text('3')
                usage, before, start = Usage(vm), None if target.paused else writes(vm), time.monotonic()
                image = act(vm, qemu, folder, target, usage)
                seconds = ours.seconds if way == 'ours' else time.monotonic() - start
                elapsed = time.monotonic() - start
                usage.finish()
                target.delete(image)
                figures[way]['s'].append(seconds)
                figures[way]['read'].append(usage.read)
                figures[way]['written'].append(usage.written)
                if not target.paused:
                    after = writes(vm)
                    figures[way]['iops'].append((after - before) / elapsed)
                    figures[way]['gap'].append(longest_gap(vm, before, after) / tick)
            if not target.paused:
                before, start = writes(vm), time.monotonic()
                vm.wait_for_writes(300)
                control.append((300 / (time.monotonic() - start), longest_gap(vm, before, writes(vm)) / tick))
        for way in ways:
            row(f'{way}: wall, s', figures[way]['s'])
        for way in ('mirror', 'overlay', 'ready'):
            row(f'ours / {way}, wall', [a / b for a, b in zip(figures['ours']['s'], figures[way]['s'])])
        for way in ways:
            row(f'{way}: read locally, MiB', figures[way]['read'])
            row(f'{way}: written locally, MiB', figures[way]['written'])
        if not target.paused:
            for way in ways:
                row(f'{way}: guest writes a second', figures[way]['iops'])
                row(f'{way}: longest stall seen by the guest, ms', figures[way]['gap'])
            row('control: guest writes a second', [iops for iops, _ in control])
            row('control: longest stall in 300 writes, ms', [gap for _, gap in control])
        row('ours: window of the freeze, ms', ours.frozen)
        row('ours: writes held by the pivot, ms', ours.pivot)
        row('ours: memory of the daemon above idle, MiB', ours.memory)


def main():
    options = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    options.add_argument('--rounds', type=int, default=15)
    options.add_argument('--mib', type=int, default=1536, help='MiB of data (1536)')
    options.add_argument('--into', choices=['sink', 'glance'], action='append')
    options = options.parse_args()
    for into in options.into or ['sink', 'glance']:
        measure(qemus()[0], {'sink': Sink, 'glance': RealGlance}[into], options.rounds, options.mib)


if __name__ == '__main__':
    main()
