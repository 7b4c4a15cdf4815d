# SPDX-License-Identifier: Apache-2.0
"""What OpenStack's clients are pointed at: a guest that writes, and a daemon that listens."""

import contextlib
import os
import pathlib
import socket
import threading

from support import Machine, create_qcow2
from support.daemon import Daemon
from support.full import qemu_io
from support.machine import wait_until
from support.oracles import assert_name, assert_prefix, chain, check

UUID = '4d1f5c62-0b5e-4f19-9a43-8d6d3f5b9e10'
TASKS = ['image_snapshot_pending', 'image_snapshot', 'image_pending_upload', 'image_uploading', None]
MIB = 1 << 20


def free_port():
    with socket.socket() as plug:
        plug.bind(('127.0.0.1', 0))
        return plug.getsockname()[1]


class Site:
    """For `with`. The guest `web`, and the daemon in front of it; in the end the guest has lost nothing.

    token    that of the daemon's token-file
    options  settings of the daemon
    port     where it listens
    """

    def __init__(self, folder, token, options, port=None):
        self.folder, self.port = pathlib.Path(folder), port or free_port()
        self.url = f'http://127.0.0.1:{self.port}/v2.1'
        (self.folder / 'token').write_text(token + '\n')
        self._hold = self.folder / 'hold'
        self.daemon = Daemon(self.folder / 'd', options={
            'store.kind': 'glance', 'rest.listen': f'127.0.0.1:{self.port}',
            'rest.token-file': self.folder / 'token', 'daemon.storage-daemon': self._reader(), **options})
        self.disk = self.make_disk('disk', 24)
        self.vm = Machine(disks=[self.disk], folder=self.folder / 'p', kind='blockdev', uuid=UUID, delay=2000)

    def make_disk(self, name, size):
        """One with some MiB of data behind the records."""
        disk = create_qcow2(self.folder / name, '256M')
        qemu_io(f'write -P 7 4M {size}M', disk)
        return disk

    def __enter__(self):
        try:
            self.vm.start()
            self.daemon.start()
            self.vm.wait_for_writes(20)
            self.attach()
        except BaseException:
            self.vm.kill()
            if self.daemon.process:
                self.daemon.kill()
            raise
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.daemon.stop()
                assert not self.vm.errors()
                self.vm.kill()
                assert_name([self.disk], self.vm.acked())
                check(self.disk)
        finally:
            self.vm.kill()
            if self.daemon.process.poll() is None:
                self.daemon.kill()

    def attach(self, **members):
        self.daemon.attach(self.vm.qmp_path, id='web', **members)

    @contextlib.contextmanager
    def attached(self, **members):
        """Meanwhile the guest is attached in another way."""
        assert self.daemon.delete('/v1/guests/web').status == 204
        self.attach(**members)
        try:
            yield
        finally:
            self.idle()
            assert self.daemon.delete('/v1/guests/web').status == 204
            self.attach()

    # What reads the disk

    def _reader(self):
        """A storage daemon that waits to be started, once there is a fifo to wait at."""
        path = self.folder / 'storage-daemon'
        path.write_text('#!/bin/sh\n'
                        f'! [ -p {self._hold} ] || read -r _ <{self._hold}\n'
                        'exec qemu-storage-daemon "$@"\n')
        path.chmod(0o755)
        return path

    @contextlib.contextmanager
    def reader_held(self):
        """Meanwhile no disk can be read."""
        os.mkfifo(self._hold)
        try:
            yield
        finally:
            let_go = os.open(self._hold, os.O_RDWR)     # does not wait for who reads
            self._hold.unlink()
            os.write(let_go, b'go\n' * 8)
            os.close(let_go)

    # What the server does

    def task(self, server=UUID):
        answer = self.daemon.get(f'/v2.1/servers/{server}')
        assert answer.status == 200, answer.body
        return answer.json['server']['OS-EXT-STS:task_state']

    def idle(self, server=UUID):
        """Waits until there is no task."""
        wait_until(lambda: self.task(server) is None, 'the server has no task any more', timeout=120,
                   interval=0.02)

    def wait_task(self, task, server=UUID):
        wait_until(lambda: self.task(server) == task, f'the task is {task}', timeout=60, interval=0.005)

    @contextlib.contextmanager
    def watched(self):
        """The list of all tasks that are seen while the block runs, each where it began."""
        seen, end = [], threading.Event()

        def watch():
            while not end.is_set():
                now = self.task()
                if seen[-1:] != [now]:
                    seen.append(now)
                end.wait(0.002)
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield seen
        finally:
            end.set()
            watcher.join()

    def last_operation(self):
        """The newest one, when it is over."""
        newest = max(self.daemon.get('/v1/operations').json['operations'],
                     key=lambda operation: operation['created'])
        return self.daemon.finished(newest)

    def layers(self):
        """The disk's files, by inode: the first point gives the active one another name."""
        return [os.stat(layer.path).st_ino for layer in chain(self.disk)]

    # Images

    def judge_image(self, path, before, after):
        """What was downloaded is one point of what the guest wrote, and a guest goes on behind it."""
        layer, = chain(path)
        assert layer.size == 256 * MIB
        check(path)
        point = assert_prefix([path])
        assert before <= point <= after + 1
        with Machine(disks=[path], folder=path.parent / 'again', kind='blockdev') as again:
            again.wait_for_writes(point + 30)       # it has acknowledged none yet
            again.kill()
            assert next(each.number for each in again.reports() if each.kind == 'R') == point + 1
            assert not again.errors()
            assert assert_name([path], again.acked()) >= point + 30
        check(path)
