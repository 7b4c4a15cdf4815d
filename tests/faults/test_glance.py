# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with an image service, in each phase of a transfer."""

import dataclasses
import json
import re
import time

import pytest

from faults.gate import Fault, FaultyGate, reply
from support import create_qcow2
from support.full import ImageScene
from support.glance import Glance
from support.glance_scene import TOKEN, GlanceScene

ALWAYS, HALF = {'times': 0}, {'at': 512 << 10}
LATER = 'Retry-After: 2'
RENEWED = TOKEN.replace('somebody', 'another')
SAID = b'<html><body><h1>So it is</h1>the gate has said it</body></html>'


def wrong_hashes(answer):
    head, body = answer.split(b'\r\n\r\n', 1)
    return head + b'\r\n\r\n' + re.sub(rb'("checksum": ")[0-9a-f]{4}', rb'\g<1>0000', body)


def wrong_types(answer):
    head, body = answer.split(b'\r\n\r\n', 1)
    record = {name: [7] for name in json.loads(body)}
    return reply(200, json.dumps(record).encode(), kind='application/json')


@dataclasses.dataclass
class Row:
    """What goes wrong, and what an image must come to: None, or why it fails, in these words."""
    name: str
    faults: list
    fails: tuple = ()
    code: str = None
    calls: dict = dataclasses.field(default_factory=dict)       # how many of each method it takes
    least: float = 0            # seconds
    quick: bool = False
    left: bool = False          # images are left, and go later

    def __str__(self):
        return self.name


def always(method, status, body=SAID, *headers, **more):
    return [Fault(method, 'answer', reply(status, body, *headers), **ALWAYS, **more)]


def once(method, status, body=SAID, *headers, **more):
    return [Fault(method, 'answer', reply(status, body, *headers), **more)]


def said(status):
    return f'answered {status}', 'the gate has said it', 'request req-of-the-gate'


ROWS = [
    # Nobody listens
    Row('refused before POST', [Fault('POST', 'away')], quick=True),
    Row('refused in PUT', [Fault('PUT', 'away')]),
    Row('refused for good', [Fault('PUT', 'away', seconds=60)], ('given up after',), 'unavailable',
        left=True),
    # POST
    Row('POST reset', [Fault('POST', 'reset')], calls={'POST': 2}),
    Row('POST silent', [Fault('POST', 'silence')], calls={'POST': 2}),
    Row('POST silent for good', [Fault('POST', 'silence', **ALWAYS)], ('given up after', 'no answer'),
        'timeout'),
    Row('POST, answer lost', [Fault('POST', 'lost')], calls={'POST': 2, 'PUT': 1}, quick=True),
    Row('POST 400', always('POST', 400), said(400), calls={'POST': 1}),
    Row('POST 401', always('POST', 401), ('is not accepted', 'write a new one'), 'unauthorized'),
    Row('POST 403', always('POST', 403), said(403), 'store', {'POST': 1}),
    Row('POST 409', always('POST', 409), said(409), 'conflict', {'POST': 1}),
    Row('POST 413', always('POST', 413), said(413), 'no-space', {'POST': 1}),
    Row('POST 429', once('POST', 429, SAID, LATER), calls={'POST': 2}, least=2),
    Row('POST 500 for good', always('POST', 500), ('after 4 attempts', *said(500)), 'store', {'POST': 4}),
    Row('POST 503, for an hour', always('POST', 503, SAID, 'Retry-After: 3600'), said(503),
        'unavailable', {'POST': 1}),
    # PUT, its headers
    Row('PUT reset', [Fault('PUT', 'reset')], calls={'PUT': 2}),
    Row('PUT silent', [Fault('PUT', 'silence')], calls={'PUT': 2}),
    Row('PUT 401, renewed', once('PUT', 401, token=TOKEN.encode()), calls={'PUT': 2}, quick=True),
    Row('PUT 401', always('PUT', 401), ('is not accepted', 'write a new one'), 'unauthorized'),
    Row('PUT 404', always('PUT', 404), said(404), 'not-found', {'PUT': 1}),
    Row('PUT 409', once('PUT', 409), calls={'PUT': 2}),
    Row('PUT 410', always('PUT', 410), said(410), 'not-found', {'PUT': 1}, quick=True),
    Row('PUT 413', always('PUT', 413), said(413), 'no-space', {'PUT': 1}, quick=True),
    Row('PUT 415', always('PUT', 415), said(415), 'store', {'PUT': 1}),
    Row('PUT 429', once('PUT', 429, SAID, LATER), calls={'PUT': 2}, least=2),
    Row('PUT 500', once('PUT', 500), calls={'PUT': 2}),
    Row('PUT 500 for good', always('PUT', 500), ('after 4 attempts', *said(500)), 'store', {'PUT': 4},
        quick=True),
    Row('PUT 502', once('PUT', 502), calls={'PUT': 2}),
    Row('PUT 503', once('PUT', 503, SAID, LATER), calls={'PUT': 2}, least=2, quick=True),
    # PUT, its body
    Row('body cut', [Fault('PUT', 'cut', **HALF)], calls={'PUT': 2}, quick=True),
    Row('body cut at its first byte', [Fault('PUT', 'cut', at=1)], calls={'PUT': 2}),
    Row('body cut for good', [Fault('PUT', 'cut', **HALF, **ALWAYS)], ('after 4 attempts',),
        'unavailable', {'PUT': 4}),
    Row('body stalls', [Fault('PUT', 'hang', **HALF, seconds=6)], calls={'PUT': 2}),
    Row('body stalls for good', [Fault('PUT', 'hang', **HALF, seconds=6, **ALWAYS)],
        ('after 4 attempts', 'not a byte for'), 'timeout', {'PUT': 4}),
    Row('body is taken slowly', [Fault('PUT', 'slow', at=400 << 10)], calls={'PUT': 1}, least=2),
    # PUT, its answer
    Row('PUT, answer lost', [Fault('PUT', 'lost')], calls={'PUT': 1}, quick=True),
    Row('PUT, answer late', [Fault('PUT', 'mute')], calls={'PUT': 1}),
    Row('PUT, answer garbage', [Fault('PUT', 'instead', b'\xff\xfe\0 what?\r\n\r\n')], calls={'PUT': 1}),
    Row('PUT, answer 500', [Fault('PUT', 'instead', reply(500, SAID))], calls={'PUT': 1}),
    # GET after
    Row('GET reset', [Fault('GET', 'reset')], calls={'GET': 2}),
    Row('GET 500', once('GET', 500), calls={'GET': 2}),
    Row('GET silent for good', [Fault('GET', 'silence', **ALWAYS)], ('no answer',), 'timeout'),
    Row('GET, no JSON', once('GET', 200, b'<html>hello'), ('not JSON',), 'store', quick=True),
    Row('GET, garbage', once('GET', 200, b'\xff\xfe{"id": \0'), (), 'store'),
    Row('GET, 10 MB', once('GET', 200, b'["x", ' * (10 << 17)), (), 'store'),
    Row('GET, 20 MB', once('GET', 200, b' ' * (20 << 20)), ('larger than 16 MiB',), 'store'),
    Row('GET, wrong types', [Fault('GET', 'changed', wrong_types)], (), 'store'),
    Row('GET, endless headers', [Fault('GET', 'endless', b'X-And-Another: one\r\n' * 1000)],
        ('headers are larger',), 'store'),
    Row('GET drips', [Fault('GET', 'drip', reply(200, b' ' * 4000), **ALWAYS)], ('no answer',), 'timeout'),
    Row('GET, wrong hash', [Fault('GET', 'changed', wrong_hashes)], ('is not what was sent',), 'store',
        {'PUT': 1}, quick=True),
    Row('GET 404', always('GET', 404), said(404), 'not-found'),
    # DELETE, of what has failed
    Row('DELETE 409', [*always('PUT', 413), *always('DELETE', 409)], said(413), 'no-space', left=True),
    Row('DELETE 503', [*always('PUT', 413), *always('DELETE', 503)], said(413), 'no-space', left=True,
        quick=True),
    Row('DELETE silent', [*always('PUT', 413), Fault('DELETE', 'silence', **ALWAYS)], said(413), 'no-space',
        left=True),
]


class FaultScene(GlanceScene, ImageScene):
    """Full images through a gate: whatever becomes of them, the disks are as before."""

    def __init__(self, glance, gate, folder):
        super().__init__(glance, folder, disks=[create_qcow2(folder / 'disk')], kind='blockdev',
                         daemon={'glance.url': gate.url, 'glance.timeout': '4s'})
        self.gate, self.results = gate, []

    def __enter__(self):
        super().__enter__()
        self.fill(size=1, at=32)
        self.note()
        self.judge_full_of(self.begin_image())
        return self

    def judge_full_of(self, operation):
        operation = self.daemon.finished(operation)
        self.judge_full(operation, 0, self.vm.acked())
        self.assert_as_before()

    def renew(self):
        (self.folder / 'token').write_text(RENEWED)

    def go_wrong(self, row):
        """An image while it goes wrong; the operation when it is over."""
        for fault in row.faults:
            if fault.token:
                fault.told = self.renew
        self.gate.arm(*row.faults)
        begun = time.monotonic()
        operation = self.daemon.finished(self.begin_image(), timeout=90)
        seconds = time.monotonic() - begun
        calls = {method: self.gate.count(method) for method in ('POST', 'PUT', 'GET', 'DELETE')}
        self.results.append((row.name, operation['state'], calls, seconds))
        self.gate.arm()
        (self.folder / 'token').write_text(TOKEN)
        assert seconds >= row.least
        for method, number in row.calls.items():
            assert calls[method] == number, f'{calls}: {operation["error"]}'
        return operation

    def judge_failure(self, row, operation):
        error = operation['error']
        assert operation['state'] == 'failed', operation
        for word in row.fails:
            assert word in error['message'], error
        assert error['code'] == row.code or not row.code, error
        assert error['hint'] or row.name == 'POST 400', error
        assert not operation['result'].get('images'), operation
        assert bool(operation['result'].get('left_images')) == row.left, operation
        for disk in operation['result'].get('disks', ()):
            self.judge_folded(disk)
        self.assert_as_before()
        self.wait_deleted(90)

    def take_stock(self):
        """After a row that has failed: the next one is not to pay for it."""
        self.gate.arm()
        for operation in self.operations():
            self.daemon.finished(operation)
        self.images = {name for name, image in self.all().items() if image['status'] == 'active'}
        for path in self.glance.store.iterdir():
            if path.name not in self.images:
                path.unlink()
        self.note()

    def table(self):
        lines = [f'{"fault":28}{"outcome":12}{"POST":>5}{"PUT":>5}{"GET":>5}{"DELETE":>8}{"seconds":>9}']
        for name, state, calls, seconds in self.results:
            lines.append(f'{name:28}{state:12}{calls["POST"]:5}{calls["PUT"]:5}{calls["GET"]:5}'
                         f'{calls["DELETE"]:8}{seconds:9.1f}')
        return '\n'.join(lines)


@pytest.fixture(scope='module')
def faulty(tmp_path_factory, request):
    with Glance('fakeauth') as glance, FaultyGate(glance.url) as gate:
        scene = FaultScene(glance, gate, tmp_path_factory.mktemp('glance'))
        try:
            with scene:
                yield scene
        finally:
            capture = request.config.pluginmanager.getplugin('capturemanager')
            with capture.global_and_fixture_disabled():
                print('\n' + scene.table(), flush=True)


@pytest.mark.parametrize('row', [pytest.param(row, id=row.name.replace(' ', '-').replace(',', ''),
                                              marks=() if row.quick else pytest.mark.slow)
                                 for row in ROWS])
def test_image(faulty, row):
    """It succeeds or fails as it must, in a time that is known; the guest's disk is as before, nothing
    is left in Glance, and the next one succeeds."""
    try:
        operation = faulty.go_wrong(row)
        if row.fails or row.code:
            faulty.judge_failure(row, operation)
            operation = faulty.begin_image()
        faulty.judge_full_of(operation)
    except BaseException:
        faulty.take_stock()
        raise
