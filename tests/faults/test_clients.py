# SPDX-License-Identifier: Apache-2.0
"""Clients that stall, drip, send without an end or come in crowds: others are served meanwhile."""

import contextlib
import http.client
import os
import resource
import socket
import threading
import time

import pytest

from liar import Liar
from support import StorageDaemon, create_qcow2
from support.daemon import Daemon
from support.machine import wait_until
from support.memory import Peak

MIB = 1 << 20
CROWD = 1000
MEMORY_MAX = 256 * MIB
HEAD = b'POST /v1/guests HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'
ENV = {'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', '') + ':quarantine_size_mb=8'}


@pytest.fixture(scope='module', autouse=True)
def many_files():
    """A crowd is many sockets, here and there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4 * CROWD:
        pytest.skip(f'a process may have {hard} files only')
    resource.setrlimit(resource.RLIMIT_NOFILE, (4 * CROWD, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope='module')
def daemon(tmp_path_factory):
    folder = tmp_path_factory.mktemp('d')
    (folder / 'token').write_text('a-token-of-the-test\n')
    (folder / 'token').chmod(0o600)
    with socket.socket() as plug:
        plug.bind(('127.0.0.1', 0))
        port = plug.getsockname()[1]
    options = {'rest.listen': f'127.0.0.1:{port}', 'rest.token-file': folder / 'token'}
    with Daemon(folder / 'd', env=ENV, options=options) as running:
        running.port = port
        yield running


def plug_in(daemon, way='unix', timeout=60):
    plug = socket.socket(socket.AF_UNIX if way == 'unix' else socket.AF_INET)
    plug.connect(str(daemon.socket) if way == 'unix' else ('127.0.0.1', daemon.port))
    plug.settimeout(timeout)                # with one, it would not wait for a full queue
    return plug


def read_all(plug):
    received = b''
    with contextlib.suppress(OSError):
        while chunk := plug.recv(65536):
            received += chunk
    return received


class Others(threading.Thread):
    """Asks again and again beside us; `slowest` is what the longest answer has taken."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.daemon_, self.slowest, self.count, self.failures, self.end = daemon, 0, 0, [], threading.Event()

    def run(self):
        while not self.end.wait(0.02):
            begun = time.monotonic()
            try:
                status = self.daemon_.get('/v1/health').status
                if status != 200:
                    self.failures.append(status)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
            self.slowest, self.count = max(self.slowest, time.monotonic() - begun), self.count + 1

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, kind, *_):
        self.end.set()
        self.join(60)
        if kind is None:
            assert not self.failures and self.count, (self.failures, self.count)
            assert self.slowest < 1 + self.alone, f'somebody has waited for {self.slowest} s'

    def measure(self):
        """How long it takes when nobody disturbs: the machine may be slow."""
        self.alone = 0
        for _ in range(10):
            begun = time.monotonic()
            assert self.daemon_.get('/v1/health').status == 200
            self.alone = max(self.alone, time.monotonic() - begun)
        return self


@contextlib.contextmanager
def others(daemon, what):
    with Peak(daemon.pid) as peak, Others(daemon).measure() as beside:
        yield
    print(f'\n{what}: slowest of {beside.count} others {beside.slowest * 1000:.0f} ms ({beside.alone * 1000:.0f} ms alone), '
          f'memory grew by {peak.grown / MIB:.1f} MiB')
    assert peak.grown < MEMORY_MAX


def drip(plug, head):
    """A byte now and then, until it is over; what was said then."""
    with contextlib.suppress(OSError):
        plug.sendall(head)
        plug.settimeout(0.5)
        for _ in range(120):
            plug.sendall(b' ')
            with contextlib.suppress(TimeoutError):
                return plug.recv(65536)
    return read_all(plug)


@pytest.mark.parametrize('way', ['unix', 'tcp'])
def test_stalls_and_drips(daemon, way):
    """Who has not told its request within 15 s is told so: 408."""
    token = b'X-Auth-Token: a-token-of-the-test\r\n'
    said, taken = {}, {}

    def client(name, work):
        with plug_in(daemon, way) as plug:
            begun = time.monotonic()
            said[name] = work(plug)
            taken[name] = time.monotonic() - begun

    def stall(head):
        return lambda plug: (plug.sendall(head), read_all(plug))[1]
    cases = {
        'silent': read_all, 'half a head': stall(HEAD[:30]), 'no body': stall(HEAD + token + b'Content-Length: 10\r\n\r\n'),
        'no chunk': stall(HEAD + token + b'Transfer-Encoding: chunked\r\n\r\n'),
        'head': lambda plug: drip(plug, HEAD + b'X-Long: '),
        'body': lambda plug: drip(plug, HEAD + token + b'Content-Length: 100000\r\n\r\n'),
    }
    threads = [threading.Thread(target=client, args=each) for each in cases.items()]
    with others(daemon, f'stalls and drips over {way}'):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert set(said) == set(cases)
    for name, text in said.items():
        assert text.startswith(b'HTTP/1.1 408 ') and b'15 s' in text, (name, text)
        assert 10 < taken[name] < 40, (name, taken[name])


@pytest.mark.parametrize('way', ['length', 'chunked'])
def test_bodies_without_an_end(daemon, way):
    """10 GB, or as much of it as anybody takes: 413, and not read further."""
    with others(daemon, f'endless bodies, {way}'), contextlib.ExitStack() as stack:
        for _ in range(20):
            plug = stack.enter_context(plug_in(daemon))
            sent = 0
            with contextlib.suppress(OSError):
                plug.sendall(HEAD + {'length': b'Content-Length: 10000000000', 'chunked': b'Transfer-Encoding: chunked'}[way] + b'\r\n\r\n')
                while sent < 10_000_000_000:
                    plug.sendall(b' ' * 65536 if way == 'length' else b'10000\r\n' + b' ' * 65536 + b'\r\n')
                    sent += 65536
            assert sent < 64 * MIB, 'all of it is taken'
            assert read_all(plug).startswith(b'HTTP/1.1 413 ')


def test_bodies_that_are_cut_off(daemon):
    with others(daemon, 'cut off'):
        end = time.monotonic() + 2
        while time.monotonic() < end:
            with plug_in(daemon) as plug:
                plug.sendall(HEAD + b'Content-Length: 1000\r\n\r\n' + b' ' * 500)
    assert daemon.get('/v1/guests').json['guests'] == []


def test_bodies_of_a_crowd(daemon):
    """A MiB of each is not a MiB of all: 503."""
    with others(daemon, 'many large bodies'), contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(plug_in(daemon)) for _ in range(100)]
        for plug in crowd:
            plug.sendall(HEAD + b'Content-Length: 1000000\r\n\r\n' + b' ' * 900000)
        for plug in crowd:
            with contextlib.suppress(OSError):
                plug.sendall(b' ' * 100000)
        said = [read_all(plug)[9:12] for plug in crowd]
        assert said.count(b'400') > 20 and said.count(b'503') > 20, said


@pytest.mark.parametrize('way', ['unix', 'tcp'])
def test_a_crowd_that_says_nothing(daemon, way):
    """The one that has kept us waiting longest makes room: 503."""
    with others(daemon, f'{CROWD} silent ones over {way}'), contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(plug_in(daemon, way)) for _ in range(CROWD)]
        said = crowd[0].recv(65536)
        assert said.startswith(b'HTTP/1.1 503 ') and b'Retry-After' in said
        time.sleep(1)
        crowd[-1].sendall(b'GET /v1/health HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: a-token-of-the-test\r\n\r\n')
        assert read_all(crowd[-1]).startswith(b'HTTP/1.1 200 ')
    files = f'/proc/{daemon.pid}/fd'
    wait_until(lambda: len(os.listdir(files)) < 100, 'their sockets are closed')


def test_a_crowd_that_waits(daemon, tmp_path):
    """Of those that wait for an operation's end 256 are let in; who does not read its answer harms nobody."""
    export = ['--nbd-server', f'addr.type=unix,addr.path={tmp_path}/nbd', '--export', 'nbd,id=disk0,node-name=node0,writable=on']
    with StorageDaemon(disks=[create_qcow2(tmp_path / 'disk')], write=False, args=export, folder=tmp_path / 'p') as peer, \
            Liar(tmp_path / 'qmp', peer.qmp_path, lies={'transaction': lambda answer: b''}) as liar:
        daemon.attach(liar.path, id='g')
        liar.told.set()
        operation = daemon.post('/v1/guests/g/snapshots', {}).json
        with others(daemon, f'{CROWD} that wait'), contextlib.ExitStack() as stack:
            crowd = [stack.enter_context(plug_in(daemon)) for _ in range(CROWD)]
            for plug in crowd:
                with contextlib.suppress(OSError):
                    plug.sendall(f"GET /v1/operations/{operation['id']}?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert daemon.get(f"/v1/operations/{operation['id']}").json['state'] == 'running'
            time.sleep(1)
            said = []
            for plug in crowd:
                plug.setblocking(False)
                with contextlib.suppress(BlockingIOError, ConnectionError):
                    said.append(plug.recv(65536)[9:12])
            assert said.count(b'503') >= CROWD - 512, said
        liar.told.clear()
        wait_until(lambda: daemon.get(f"/v1/operations/{operation['id']}?wait=1").status == 200, 'the crowd has gone')
        daemon.finished(operation)
        wait_until(lambda: daemon.delete('/v1/guests/g').status == 204, 'it is let go')
