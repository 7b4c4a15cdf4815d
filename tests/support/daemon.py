# SPDX-License-Identifier: Apache-2.0
"""The real qsnapd, and what one asks of it: over HTTP, and through qsnap.

QSNAPD, QSNAP   the programs; by default those on the PATH
"""

import dataclasses
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess

from .machine import die_with_parent, wait_until, work_folder


def program(variable, name):
    """The path of one of our programs."""
    path = os.environ.get(variable) or shutil.which(name)
    if not path or not shutil.which(path):
        raise FileNotFoundError(f'no {name}: name the one that was built in {variable}')
    return os.path.abspath(path)


@dataclasses.dataclass
class Answer:
    """What came back. `error` is the error's object, {} where there is none."""
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json['error'] if self.status >= 400 else {}


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=60):
        super().__init__('localhost', timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)            # with a timeout it would not wait for a full queue
        self.sock.settimeout(self.timeout)


class Daemon:
    """A qsnapd with a folder of its own, for `with` or start() ... stop().

    options   settings over the defaults, {'snapshot.quiesce': 'try'}; chains grow, and no room is
              reserved, unless they say otherwise (daemon.max-chain-length, daemon.reserve)
    args      more words for its command line
    env       more of its environment; {'QSNAPD_TEST_KILL_AT_JOURNAL_WRITE': '7'}: it dies as by kill()
              when it is about to make its seventh durable write

    It can be started again, also after kill(): the journal stays. stop() fails when the daemon has
    logged what it must not: a sanitizer's report, or a GLib critical.
    """

    def __init__(self, folder=None, *, options=None, args=(), env=None):
        self.folder = work_folder(self, folder, 'qsnapd-')
        self.socket = self.folder / 'qsnapd.sock'
        self.store = self.folder / 'images'
        self.options = dict(options or {})
        self.args = list(args)
        self.env = dict(env or {})
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.kill()

    def command(self):
        command = [program('QSNAPD', 'qsnapd'), '--state', self.folder / 'state',
                   '--socket', self.socket, '-o', 'daemon.log=debug', '-o', 'daemon.max-chain-length=0',
                   '-o', 'daemon.reserve=0']
        if 'store.kind' not in self.options:
            command += ['--store', self.store]
        for key, value in self.options.items():
            command += ['-o', f'{key}={value}']
        return [*map(str, command), *map(str, self.args)]

    def start(self, ready=True):
        """Starts it and waits until it says so to the service manager, which is us."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            notify = self.folder / 'notify.sock'
            notify.unlink(missing_ok=True)
            manager.bind(str(notify))
            manager.settimeout(0.05)
            with open(self.folder / 'qsnapd.log', 'ab') as log:
                self.process = subprocess.Popen(
                    self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                    preexec_fn=die_with_parent,
                    env={**os.environ, 'NOTIFY_SOCKET': str(notify), **self.env})

            def said():
                if self.process.poll() is not None:
                    raise RuntimeError(f'qsnapd ended with {self.process.returncode}:\n{self.log[-4000:]}')
                try:
                    return b'READY=1' in manager.recv(4096)
                except TimeoutError:
                    return False
            if ready:
                wait_until(said, 'qsnapd says that it is ready', timeout=60, interval=0)

    @property
    def pid(self):
        return self.process.pid

    @property
    def log(self):
        path = self.folder / 'qsnapd.log'
        return path.read_text(errors='replace') if path.exists() else ''

    def stop(self, timeout=60):
        """As the service manager does."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout)
        assert code == 0, f'qsnapd ended with {code}:\n{self.log[-8000:]}'
        self.assert_clean()

    def kill(self):
        """As a power cut does, for the process."""
        self.process.kill()
        self.process.wait()

    def wait(self, timeout=60):
        """Waits until it ends by itself; its exit status."""
        return self.process.wait(timeout)

    def assert_clean(self):
        log = self.log
        found = re.search(r'.*(ERROR: \w+Sanitizer|runtime error:|CRITICAL|^\S+ error +).*', log, re.M)
        assert not found, f'the log has: {log[found.start():found.start() + 4000]}'

    # HTTP

    def connect(self, timeout=60):
        return UnixConnection(self.socket, timeout)

    def request(self, method, path, body=None, headers=None, connection=None):
        """One request. A body that is not bytes is sent as JSON; `connection`: another way there."""
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers.setdefault('Content-Type', 'application/json')
        connection = connection or self.connect(400)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def get(self, path, **options):
        return self.request('GET', path, **options)

    def post(self, path, body=None, **options):
        return self.request('POST', path, body, **options)

    def delete(self, path, **options):
        return self.request('DELETE', path, **options)

    def attach(self, monitor, **members):
        """Attaches a guest; its id."""
        answer = self.post('/v1/guests', {'monitor': str(monitor), **members})
        assert answer.status == 201, answer.body
        return answer.json['id']

    def finished(self, operation, timeout=120):
        """The operation (or the one with this id) when it is over."""
        operation = operation if isinstance(operation, str) else operation['id']

        def over():
            answer = self.get(f'/v1/operations/{operation}?wait=10')
            assert answer.status == 200, answer.body
            return answer.json if answer.json['state'] not in ('queued', 'running') else None
        return wait_until(over, f'operation {operation} is over', timeout)

    def snapshot(self, guest, timeout=120, **members):
        """Takes a point and waits for its end; the operation."""
        answer = self.post(f'/v1/guests/{guest}/snapshots', members)
        assert answer.status == 202, answer.body
        return self.finished(answer.json, timeout)

    # qsnap

    def qsnap(self, *arguments, check=False, env=None, **options):
        """Runs qsnap; the finished process, with text. check: it must succeed."""
        done = subprocess.run([program('QSNAP', 'qsnap'), *map(str, arguments)], text=True,
                              capture_output=True, stdin=subprocess.DEVNULL, timeout=180,
                              env={**os.environ, 'LC_ALL': 'C.UTF-8', 'QSNAPD_SOCKET': str(self.socket),
                                   **(env or {})}, **options)
        assert 'Sanitizer' not in done.stderr and 'runtime error' not in done.stderr, done.stderr
        assert not check or done.returncode == 0, done.stderr
        return done
