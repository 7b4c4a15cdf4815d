# SPDX-License-Identifier: Apache-2.0
"""A service's other address, on whose way one kind of request goes wrong in one of many ways."""

import contextlib
import dataclasses
import socket
import struct
import threading
import time
import typing
import urllib.parse

PIECE = 65536
SLICE = 0.1         # seconds between two pieces of something slow


@dataclasses.dataclass
class Fault:
    """What becomes of requests of one `method`, once a request `behind` has been seen.

    away     the connection breaks, and for `seconds` nobody listens
    reset    the connection breaks before the service hears of it
    silence  nothing is ever answered
    answer   `data` is the answer; the service does not hear of it
    cut      the connection breaks when `at` bytes of the body have passed
    hang     no more than `at` bytes of the body are taken, and after `seconds` the connection breaks
    slow     the body passes at a pace of `at` bytes a second
    lost     the service answers, then the connection breaks
    mute     the service answers, and nobody hears of it
    instead  the service answers, and `data` comes in its place
    changed  the service answers, and what comes is `data` of its answer
    endless  the answer has the header `data`, again and again
    drip     the answer is `data`, byte by byte

    times    to how many of them, one after the other; 0: to all
    told     called when it has happened
    """
    method: str
    what: str
    data: bytes | typing.Callable = b''
    at: int = 0
    seconds: float = 1.5
    times: int = 1
    behind: str = ''
    token: bytes = b''          # only requests that carry it
    told: typing.Callable = None


def reply(status, body=b'', *headers, kind='text/html'):
    """An answer's bytes."""
    lines = [f'HTTP/1.1 {status} Gate', f'Content-Type: {kind}', f'Content-Length: {len(body)}',
             'X-Openstack-Request-Id: req-of-the-gate', 'Connection: close', *headers]
    return '\r\n'.join(lines).encode() + b'\r\n\r\n' + body


class FaultyGate:
    """For `with`: url leads to the service at `url`. One request for each connection.

    requests   what has come by: (method, path)
    """

    def __init__(self, url):
        self.parts = urllib.parse.urlsplit(url)
        self._lock = threading.Lock()
        self._faults, self.requests, self._ended = [], [], False

    def __enter__(self):
        self._listener = socket.create_server(('127.0.0.1', 0))
        self._port = self._listener.getsockname()[1]
        self.url = f'http://127.0.0.1:{self._port}{self.parts.path}'
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()
        return self

    def __exit__(self, *_):
        with self._lock:
            self._ended = True
            self._close()

    def arm(self, *faults):
        """From now on these, and what comes by is counted anew."""
        with self._lock:
            self._faults, self.requests = [dataclasses.replace(fault) for fault in faults], []

    def count(self, method):
        """How many of its requests have come by since arm()."""
        return sum(each == method for each, _ in self.requests)

    def _close(self):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _go_away(self, seconds):
        with self._lock:
            self._close()
        time.sleep(seconds)
        with self._lock:
            if not self._ended:
                self._listener = socket.create_server(('127.0.0.1', self._port))
                threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                here, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(here,), daemon=True).start()

    def _take(self, method, path, head):
        with self._lock:
            seen = [each for each, _ in self.requests]
            self.requests.append((method, path))
            for fault in self._faults:
                if fault.method != method or fault.behind and fault.behind not in seen \
                        or fault.token not in head:
                    continue
                if fault.times:
                    fault.times -= 1
                    if not fault.times:
                        self._faults.remove(fault)
                return fault
        return None

    def _serve(self, here):
        with here, contextlib.suppress(OSError):
            head = b''
            while b'\r\n\r\n' not in head:
                piece = here.recv(PIECE)
                if not piece:
                    return
                head += piece
            head, body = head.split(b'\r\n\r\n', 1)
            method, path = head.split(b' ', 2)[:2]
            fault = self._take(method.decode(), path.decode(), head)
            try:
                getattr(self, '_' + fault.what if fault else '_pass')(here, _Request(head, body), fault)
            finally:
                if fault and fault.told:
                    fault.told()

    # Without the service

    def _away(self, here, _request, fault):
        _reset(here)
        self._go_away(fault.seconds)

    def _reset(self, here, _request, _fault):
        _reset(here)

    def _silence(self, here, _request, _fault):
        while here.recv(PIECE):
            pass

    def _answer(self, here, request, fault):
        here.sendall(fault.data)
        here.shutdown(socket.SHUT_WR)
        request.drain(here)

    def _endless(self, here, _request, fault):
        here.sendall(b'HTTP/1.1 200 Gate\r\n')
        while True:
            here.sendall(fault.data)

    def _drip(self, here, _request, fault):
        for byte in fault.data:
            here.sendall(bytes([byte]))
            time.sleep(SLICE)
        while here.recv(PIECE):
            pass

    # With it

    def _connect(self, request, expect=True):
        there = socket.create_connection((self.parts.hostname, self.parts.port))
        there.sendall(request.head(expect) + request.body)
        return there

    def _pass(self, here, request, _fault):
        with self._connect(request) as there:
            back = threading.Thread(target=_carry, args=(there, here), daemon=True)
            back.start()
            with contextlib.suppress(OSError):
                while piece := here.recv(PIECE):
                    there.sendall(piece)
                there.shutdown(socket.SHUT_WR)
            back.join()

    def _part(self, here, request, size):
        """The service has got so many bytes of the body; the connection to it."""
        here.sendall(b'HTTP/1.1 100 Continue\r\n\r\n')
        there = self._connect(request, expect=False)
        passed = len(request.body)
        while passed < size and (piece := here.recv(min(PIECE, size - passed))):
            there.sendall(piece)
            passed += len(piece)
        return there

    def _cut(self, here, request, fault):
        with self._part(here, request, fault.at) as there:
            _reset(there)
            _reset(here)

    def _hang(self, here, request, fault):
        with self._part(here, request, fault.at) as there:
            time.sleep(fault.seconds)
            _reset(there)
            _reset(here)

    def _slow(self, here, request, fault):
        with self._part(here, request, 0) as there:
            back = threading.Thread(target=_carry, args=(there, here), daemon=True)
            back.start()
            with contextlib.suppress(OSError):
                while piece := here.recv(max(1, int(fault.at * SLICE))):
                    there.sendall(piece)
                    time.sleep(SLICE)
            there.shutdown(socket.SHUT_WR)
            back.join()

    def _whole(self, here, request):
        """The service has got all of it; what it has answered."""
        with self._part(here, request, request.length) as there:
            answer = b''
            while piece := there.recv(PIECE):
                answer += piece
            return answer

    def _lost(self, here, request, _fault):
        self._whole(here, request)
        _reset(here)

    def _mute(self, here, request, fault):
        self._whole(here, request)
        self._silence(here, request, fault)

    def _instead(self, here, request, fault):
        self._whole(here, request)
        here.sendall(fault.data)

    def _changed(self, here, request, fault):
        here.sendall(fault.data(self._whole(here, request)))


class _Request:
    def __init__(self, head, body):
        self.lines, self.body = head.split(b'\r\n'), body
        length = [line for line in self.lines if line.lower().startswith(b'content-length:')]
        self.length = int(length[0].split(b':')[1]) if length else 0

    def head(self, expect):
        gone = (b'connection:',) if expect else (b'connection:', b'expect:')
        lines = [line for line in self.lines if not line.lower().startswith(gone)]
        return b'\r\n'.join([*lines, b'Connection: close']) + b'\r\n\r\n'

    @staticmethod
    def drain(here):
        """Reads what still comes, so that the answer is not lost to a reset."""
        here.settimeout(5)
        with contextlib.suppress(TimeoutError):
            while here.recv(PIECE):
                pass


def _reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    connection.close()


def _carry(there, here):
    with contextlib.suppress(OSError):
        while piece := there.recv(PIECE):
            here.sendall(piece)
    with contextlib.suppress(OSError):
        here.shutdown(socket.SHUT_RDWR)
