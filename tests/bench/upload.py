#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Uploading a file: ours beside `curl -T`, which hashes nothing, into a real Glance and into a sink that only counts.

    PYTHONPATH=tests QSNAP_TOOLS=build /usr/bin/python3 tests/bench/upload.py [--rounds N] [--size MIB] [--into sink]

Both take turns in one run, each a process of its own. The figures of a build with sanitizers mean nothing: set it up with
--buildtype=release. CPU is the sender's alone; memory is the largest it had.
"""
import argparse
import contextlib
import hashlib
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
import uuid

from common import row
from support.glance import Glance

TOOLS = pathlib.Path(os.environ['QSNAP_TOOLS']) / 'tests/bench'
UPLOAD, SINK = str(TOOLS / 'bench-upload'), str(TOOLS / 'bench-sink')
MIB = 1 << 20


class Run:
    """One process from its start to its end: seconds of wall and CPU, MiB of memory."""

    def __init__(self, command):
        self.peak = 0
        start = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        watch = threading.Thread(target=self._watch, args=(process.pid,))
        watch.start()
        _, status, usage = os.wait4(process.pid, 0)
        self.wall = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        watch.join()
        self.cpu = usage.ru_utime + usage.ru_stime
        if process.returncode != 0:
            raise RuntimeError(f'{command[0]} ended with {process.returncode}')

    def _watch(self, pid):
        # What wait4() tells has the memory of this process in it, from before the exec.
        with contextlib.suppress(OSError):
            while os.readlink(f'/proc/{pid}/exe') == os.readlink('/proc/self/exe'):
                time.sleep(0.002)
            while 'VmHWM' in (text := pathlib.Path(f'/proc/{pid}/status').read_text()):
                self.peak = int(text.split('VmHWM:')[1].split()[0]) / 1024
                time.sleep(0.02)


class Sink:
    """The sink, which knows beforehand what it will have got."""

    name = 'a sink that only counts'
    takes_anything = False

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        digests = []
        for name in 'md5', 'sha512':
            with open(self.file, 'rb') as source:
                digests.append(hashlib.file_digest(source, name).hexdigest())
        self.process = subprocess.Popen([SINK, str(self.file.stat().st_size), *digests],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = f'http://127.0.0.1:{int(self.process.stdout.readline())}'
        return self

    def __exit__(self, *_):
        self.process.communicate()

    def create(self):
        return str(uuid.uuid4())

    def delete(self, image):
        pass


class RealGlance:
    name = 'Glance'
    takes_anything = True

    def __init__(self, file):
        self.glance = Glance(folder=file.parent / 'glance')

    def __enter__(self):
        self.glance.start()
        self.url = self.glance.url
        return self

    def __exit__(self, *_):
        self.glance.stop()

    def create(self):
        record = {'name': 'bench', 'disk_format': 'raw', 'container_format': 'bare'}
        status, image = self.glance.call('POST', '/v2/images', record)
        assert status == 201, image
        return image['id']

    def delete(self, image):
        status, text = self.glance.call('DELETE', f'/v2/images/{image}')
        assert status == 204, text


def ours(target, file, images=1):
    ids = [target.create() for _ in range(images)]
    run = Run([UPLOAD, target.url, str(file), *ids])
    for image in ids:
        target.delete(image)
    return run


def curl(target, file):
    image = target.create()
    run = Run(['curl', '-sSf', '-H', 'Content-Type: application/octet-stream', '-T', str(file),
               f'{target.url}/v2/images/{image}/file'])
    target.delete(image)
    return run


def compare(target, file, rounds):
    size = file.stat().st_size
    print(f'{size / MIB:.0f} MiB into {target.name}, {rounds} rounds')
    runs = {'ours': [], 'curl -T': []}
    ours(target, file), curl(target, file)
    for _ in range(rounds):
        runs['ours'].append(ours(target, file))
        runs['curl -T'].append(curl(target, file))
    for side, all_of_it in runs.items():
        row(f'{side}, wall, s', [run.wall for run in all_of_it])
        row(f'{side}, rate, MB/s', [size / run.wall / 1e6 for run in all_of_it])
        row(f'{side}, CPU, s', [run.cpu for run in all_of_it])
        row(f'{side}, memory, MiB', [run.peak for run in all_of_it])
    pairs = list(zip(runs['ours'], runs['curl -T']))
    row('ours / curl -T, wall', [a.wall / b.wall for a, b in pairs])
    row('ours / curl -T, CPU', [a.cpu / b.cpu for a, b in pairs])


def memory(target, file):
    """What does not grow with the image."""
    print(f'Memory of ours, MiB, into {target.name}')
    sizes = [1, 64 * MIB, file.stat().st_size] if target.takes_anything else [file.stat().st_size]
    for size in sizes:
        part = file.with_name('part')
        shutil.copy(file, part)
        os.truncate(part, size)
        for n in 1, 2:
            row(f'{size} bytes, {n} at a time', [ours(target, part, n).peak for _ in range(5)])
        part.unlink()


def hashes(file):
    print('What hashing alone allows, MB/s, median of 5 runs')
    rates = {}
    for _ in range(5):
        for line in subprocess.check_output([UPLOAD, '--hashes', str(file)], text=True).splitlines():
            name, rate = line.split('\t')
            rates.setdefault(name, []).append(float(rate))
    for name, values in rates.items():
        print(f'  {name:36} {statistics.median(values):8.0f}')


def main():
    options = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    options.add_argument('--rounds', type=int, default=15)
    options.add_argument('--size', type=int, default=1536, help='MiB (1536)')
    options.add_argument('--into', choices=['sink', 'glance'], action='append')
    options = options.parse_args()
    with tempfile.TemporaryDirectory(prefix='bench-') as folder:
        file = pathlib.Path(folder) / 'file'
        with open(file, 'wb') as output:
            for _ in range(options.size):
                output.write(os.urandom(MIB))
        hashes(file)
        for into in options.into or ['sink', 'glance']:
            with {'sink': Sink, 'glance': RealGlance}[into](file) as target:
                compare(target, file, options.rounds)
                memory(target, file)


if __name__ == '__main__':
    main()
