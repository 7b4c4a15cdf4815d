# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: the agent as a process of their own, and the stalls that a guest sees."""
import http.client
import json
import os
import pathlib
import socket
import statistics
import subprocess
import time


class Rest:
    def __init__(self, path):
        self.path = str(path)

    def __call__(self, method, route, body=None):
        connection = http.client.HTTPConnection('localhost')
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(self.path)
        connection.request(method, '/v1' + route, json.dumps(body) if body is not None else None,
                           {'Content-Type': 'application/json'})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f'{method} {route}: {answer.status} {text.decode()}')
        return json.loads(text) if text else None


class Agent:
    """qsnapd with everything it keeps in one folder; images go to a folder, or to the service at GLANCE."""

    def __init__(self, folder, glance=None):
        self.socket = folder / 'sock'
        self.socket.unlink(missing_ok=True)
        store = ['-o', 'store.kind=glance', '-o', f'glance.url={glance}'] if glance else ['--store', str(folder / 'images')]
        self.process = subprocess.Popen(
            [os.environ['QSNAPD'], '--state', str(folder / 'state'), '--socket', str(self.socket), *store],
            stderr=open(folder / 'log', 'a'))
        while not self.socket.exists():
            if self.process.poll() is not None:
                raise RuntimeError((folder / 'log').read_text())
            time.sleep(0.02)
        self.rest = Rest(self.socket)

    def memory(self, what='VmRSS'):
        """KiB."""
        status = pathlib.Path(f'/proc/{self.process.pid}/status').read_text()
        return int(status.split(what + ':')[1].split()[0])

    def run(self, route, body):
        """An operation from its request to its end."""
        operation = self.rest('POST', route, body)
        while operation['state'] in ('queued', 'running'):
            operation = self.rest('GET', f'/operations/{operation["id"]}?wait=60')
        if operation['state'] != 'succeeded':
            raise RuntimeError(operation['error'])
        return operation

    def close(self):
        """Ends it; what it and its children have used."""
        self.process.terminate()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return usage


def io_of(vm):
    """What the kernel has counted of a QEMU's reads and writes so far, in bytes."""
    lines = pathlib.Path(f'/proc/{vm.pid}/io').read_text().splitlines()
    return {name: int(value) for name, value in (line.split(': ') for line in lines)}


def writes(vm):
    return sum(frame.kind == 'R' for frame in vm.reports())


def longest_gap(vm, before, after):
    """In processor ticks, among the reports from one before BEFORE to one behind AFTER."""
    reports = [frame for frame in vm.reports() if frame.kind == 'R'][max(0, before - 1):after + 2]
    return max(b.ticks - a.ticks for a, b in zip(reports, reports[1:]))


def ticks_per_ms(vm):
    def sample():
        vm.wait_for_writes(1)
        return time.time(), [frame for frame in vm.reports() if frame.kind == 'R'][-1].ticks
    (t0, c0) = sample()
    vm.wait_for_writes(300)
    (t1, c1) = sample()
    return (c1 - c0) / (t1 - t0) / 1000


def row(name, values):
    values = sorted(values)
    print(f'  {name:44} median {statistics.median(values):9.2f}   largest {values[-1]:9.2f}   ({len(values)} runs)')
