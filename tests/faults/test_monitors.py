# SPDX-License-Identifier: Apache-2.0
"""Monitors that are broken, or mean harm: they get an error that says why, and nobody else suffers."""

import copy
import itertools
import json
import os
import statistics
import time

import pytest

from liar import Liar
from support import StorageDaemon, create_qcow2
from support.daemon import Daemon
from support.machine import wait_until
from support.memory import Peak
from support.oracles import check

MIB = 1 << 20
GREETING = b'{"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}\r\n'

# An answer of a million values is the dearest thing that a peer can say: some 300 MiB, and what the sanitizers add.
MEMORY_MAX = 512 * MIB
ENV = {'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', '') + ':quarantine_size_mb=8'}


@pytest.fixture(scope='module')
def daemon(tmp_path_factory):
    with Daemon(tmp_path_factory.mktemp('d'), env=ENV) as running:
        yield running


@pytest.fixture
def peers(tmp_path):
    """Makes storage daemons with a disk each; ends them."""
    made = []

    def make(name):
        folder = tmp_path / name
        folder.mkdir()
        export = ['--nbd-server', f'addr.type=unix,addr.path={folder}/nbd',
                  '--export', 'nbd,id=disk0,node-name=node0,writable=on']
        made.append(StorageDaemon(disks=[create_qcow2(folder / 'disk')], write=False, args=export, folder=folder / 'p'))
        made[-1].start()
        return made[-1]
    yield make
    for each in made:
        each.kill()


@pytest.fixture(autouse=True)
def alone(daemon):
    """No guest of one test is there in the next."""
    yield
    for name in 'liar', 'good':
        wait_until(lambda: daemon.delete(f'/v1/guests/{name}').status in (204, 404), 'it can be let go')
    assert daemon.get('/v1/health').status == 200


def error_of(answer):
    assert answer.status >= 400, answer.body
    return answer.error['message']


@pytest.mark.parametrize('greeting, then, problem', [
    (b'', None, 'no greeting'),
    (GREETING[:40], None, 'no whole greeting'),
    (b'HTTP/1.1 200 OK\r\n\r\n', None, 'not QMP'),
    (b'{"QMP": "\xff\xfe"}\r\n', None, 'not QMP'),
    (b'\0' * 1000 + b'\r\n', None, 'not QMP'),
    (b'{"QMP": "' + b'x' * (10 * MIB) + b'"}\r\n', None, 'greeting'),
    (b'{"QMP": ' + b'[' * 100000, b'[' * 65536, 'more than 16777216 bytes'),
    (b'{"QMP": ' + b'[' * 100000 + b']' * 100000 + b'}\r\n', None, 'not QMP'),
    (b'{"QMP": [' + b'0,' * 1500000 + b'0]}\r\n', None, 'million values'),
    (b'', b'x' * 65536, 'more than 16777216 bytes'),
    (b'', b'\r\n' * 1000, 'a flood'),
    (b'{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 1}}\r\n', None, 'no greeting'),
    (GREETING + GREETING, None, 'greeting'),
    (GREETING + 3 * b'{"return": {}}\r\n', None, 'names no command'),
    (GREETING + 3 * b'{"return": {}, "id": 77}\r\n', None, 'no command'),
    (GREETING, b'{"event": "NOBODY_KNOWS", "timestamp": {"seconds": 1, "microseconds": 1}}\r\n' * 500, 'a flood'),
], ids=lambda value: repr(value[:24]) if value else '')
def test_greetings(daemon, tmp_path, greeting, then, problem):
    with Liar(tmp_path / 'qmp', greeting=greeting, then=then), Peak(daemon.pid) as peak:
        answer = daemon.post('/v1/guests', {'monitor': str(tmp_path / 'qmp'), 'id': 'liar'})
        assert problem in error_of(answer)
        assert peak.grown < MEMORY_MAX


def test_resets(daemon, tmp_path):
    with Liar(tmp_path / 'qmp', reset=True):
        error_of(daemon.post('/v1/guests', {'monitor': str(tmp_path / 'qmp'), 'id': 'liar'}))


# Lies within a session

def returns(value):
    return lambda answer: {'return': value, 'id': answer['id']}


def nodes(change):
    """A lie about the first block node."""
    def lie(answer):
        found = copy.deepcopy(answer)
        change(found['return'])
        return found
    return lie


def many(found):
    found += [{**found[0], 'node-name': f'more{i}'} for i in range(100000)]


def renamed(path):
    def change(found):
        for node in found:
            node['file'] = path
            node['image']['filename'] = path
    return change


def huge(found):
    for node in found:
        node['image']['virtual-size'] = 1 << 63
        node['image']['actual-size'] = -1


def circle(found):
    for node in found:
        node['backing_file'] = node['file']
        node['backing_file_depth'] = 4096
        node['children'] = [{'child': 'backing', 'node-name': node['node-name']}]


def hang_up(_):
    raise ConnectionResetError


def job(**members):
    return {'id': 'stranger', 'type': 'stream', 'status': 'running', 'current-progress': 0, 'total-progress': 1, **members}


NODES, GRAPH, JOBS = 'query-named-block-nodes', 'x-debug-query-block-graph', 'query-jobs'
LIES = [
    (JOBS, returns('x')), (JOBS, returns([1])), (JOBS, returns([{}])), (JOBS, returns(None)),
    (JOBS, returns([job(status='asleep')])), (JOBS, returns([job(id=7)])), (JOBS, returns([job(**{'total-progress': -1})])),
    (JOBS, returns([job(status='concluded')] * 2)), (JOBS, returns([job(id='x' * 100000)])),
    (JOBS, returns([job(id=f'j{i}') for i in range(100000)])),
    (JOBS, lambda answer: {'return': []}), (JOBS, lambda answer: {'return': [], 'id': 1 << 62}),
    (JOBS, lambda answer: {'return': [], 'id': str(answer['id'])}), (JOBS, lambda answer: {'id': answer['id']}),
    (JOBS, lambda answer: json.dumps(answer).encode() + b'\n' + json.dumps(answer).encode() + b'\n'),
    (JOBS, lambda answer: {'error': 'no', 'id': answer['id']}), (JOBS, lambda answer: b''), (JOBS, lambda answer: b'\xff\n'),
    (JOBS, lambda answer: {'return': [], 'error': {'class': 'x', 'desc': 'y'}, 'id': answer['id']}),
    (JOBS, hang_up), (NODES, hang_up), (GRAPH, hang_up), ('transaction', hang_up), ('blockdev-add', returns('x' * (10 * MIB))),
    (NODES, returns({})), (NODES, returns([])), (NODES, returns([[]] * 1000)), (NODES, nodes(many)), (NODES, nodes(circle)),
    (NODES, nodes(huge)), (NODES, nodes(renamed('/dev/null'))), (NODES, nodes(renamed('/dev/zero'))),
    (NODES, nodes(renamed('/tmp/a\n/etc/passwd'))), (NODES, nodes(renamed('/' * 100000))),
    (NODES, nodes(renamed('json:{"driver":'))),
    (NODES, nodes(lambda found: found.append(found[0]))),
    (GRAPH, returns({'nodes': [], 'edges': []})), (GRAPH, returns([])), (GRAPH, returns({'nodes': {}, 'edges': 1})),
    (GRAPH, lambda answer: {**answer, 'return': {**answer['return'], 'edges': [
        {**edge, 'parent': edge['child']} for edge in answer['return']['edges']]}}),
]


@pytest.mark.parametrize('command, lie', LIES, ids=[f'{command}-{i}' for i, (command, _) in enumerate(LIES)])
def test_lies(daemon, peers, tmp_path, command, lie):
    """The operation ends, well or with an error; no file is touched by a lie; afterwards all is as before."""
    peer = peers('a')
    with Liar(tmp_path / 'qmp', peer.qmp_path, lies={command: lie}) as liar, Peak(daemon.pid) as peak:
        daemon.attach(liar.path, id='liar')
        before = sorted(os.listdir(tmp_path / 'a'))
        liar.told.set()
        answer = daemon.post('/v1/guests/liar/snapshots', {})
        if answer.status == 202:
            wait_until(lambda: daemon.get(f"/v1/operations/{answer.json['id']}").json['state'] != 'queued', 'it begins')
            time.sleep(0.5)
        else:
            error_of(answer)
            assert sorted(os.listdir(tmp_path / 'a')) == before
        assert peak.grown < MEMORY_MAX
        liar.told.clear()
        if answer.status == 202:
            operation = daemon.finished(answer.json, timeout=60)
            assert operation['state'] == 'succeeded' or operation['error']['message']
        wait_until(lambda: daemon.get('/v1/guests/liar').json['state'] == 'attached', 'it is attached again', timeout=60)
        assert daemon.snapshot('liar')['state'] == 'succeeded'


def says_of_jobs(**members):
    """What is said of each job that there is."""
    return lambda answer: {**answer, 'return': [{**each, **members} for each in answer['return']]}


def concluded_and_created():
    """Its state goes back."""
    states = itertools.cycle(('concluded', 'created', 'pending', 'running'))
    return lambda answer: says_of_jobs(status=next(states))(answer)


@pytest.mark.parametrize('lie', [
    returns([]), says_of_jobs(status='created'), says_of_jobs(status='concluded'), says_of_jobs(status='concluded', error='made up'),
    says_of_jobs(status='null'), says_of_jobs(status='pending'), says_of_jobs(id='qsnap-stranger'), says_of_jobs(type='backup'),
    concluded_and_created(), says_of_jobs(**{'current-progress': 1 << 62, 'total-progress': 1}),
], ids=('none', 'created', 'concluded', 'failed', 'null', 'pending', 'renamed', 'type', 'back', 'progress'))
def test_lies_about_our_job(daemon, peers, tmp_path, lie):
    """Whatever is said of a job that folds two layers: in the end there is no job, and a disk that is whole."""
    peer = peers('a')
    with Liar(tmp_path / 'qmp', peer.qmp_path, lies={JOBS: lie}) as liar, Peak(daemon.pid) as peak:
        daemon.attach(liar.path, id='liar')
        assert daemon.snapshot('liar')['state'] == 'succeeded'
        disk = daemon.get('/v1/guests/liar/disks').json['disks'][0]
        liar.told.set()
        answer = daemon.post(f"/v1/guests/liar/disks/{disk['name']}/commit", {'discard_points': True})
        assert answer.status == 202, answer.body
        time.sleep(1)
        liar.told.clear()
        operation = daemon.finished(answer.json, timeout=60)
        assert operation['state'] == 'succeeded' or operation['error']['message']
        wait_until(lambda: daemon.get('/v1/guests/liar').json['state'] == 'attached', 'it is attached again', timeout=60)
        wait_until(lambda: peer.qmp.execute('query-jobs') == [], 'no job is left')
        assert daemon.snapshot('liar')['state'] == 'succeeded'
        assert peak.grown < MEMORY_MAX
    peer.kill()
    check(disk['path'], qemu=peer.qemu)


def test_a_peer_that_reads_nothing(daemon, peers, tmp_path):
    """What waits for it is bounded by the deadlines of its commands."""
    with Liar(tmp_path / 'qmp', peers('a').qmp_path) as liar, Peak(daemon.pid) as peak:
        daemon.attach(liar.path, id='liar')
        liar.deaf.set()
        answer = daemon.post('/v1/guests/liar/snapshots', {})
        assert answer.status in (503, 504) or daemon.finished(answer.json)['state'] == 'failed'
        assert peak.grown < MEMORY_MAX
        liar.deaf.clear()
        wait_until(lambda: daemon.get('/v1/guests/liar').json['state'] == 'attached', 'it is attached again', timeout=60)
        assert daemon.snapshot('liar')['state'] == 'succeeded'


def pace(daemon, guest, times=7):
    taken = []
    for _ in range(times):
        begun = time.monotonic()
        assert daemon.snapshot(guest)['state'] == 'succeeded'
        taken.append(time.monotonic() - begun)
    return statistics.median(taken)


def ticks(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii') as file:
        return sum(map(int, file.read().rsplit(') ', 1)[1].split()[11:13])) / os.sysconf('SC_CLK_TCK')


@pytest.mark.parametrize('event', [
    {'event': 'STOP'}, {'event': 'NOBODY_KNOWS', 'data': {'x': [0] * 100}},
    {'event': 'JOB_STATUS_CHANGE', 'data': {'id': 'stranger', 'status': 'concluded'}},
    {'event': 'BLOCK_IO_ERROR', 'data': {'device': 'x', 'action': 'stop', 'operation': 'write', 'reason': 'r' * 4000}},
], ids=lambda event: event['event'])
def test_floods(daemon, peers, tmp_path, event):
    """Who floods us is left alone for a while, and told as gone; another guest hardly notices."""
    line = json.dumps({**event, 'timestamp': {'seconds': 1, 'microseconds': 1}}).encode() + b'\r\n'
    good = peers('good')
    with Liar(tmp_path / 'qmp', peers('bad').qmp_path, flood=line * max(1, 65536 // len(line))) as liar:
        daemon.attach(good.qmp_path, id='good')
        daemon.attach(liar.path, id='liar')
        alone = pace(daemon, 'good')
        with Peak(daemon.pid) as peak:
            begun, spent, links = time.monotonic(), ticks(daemon.pid), liar.links
            liar.flooding.set()
            beside = pace(daemon, 'good')
            wait_until(lambda: daemon.get('/v1/guests/liar').json['state'] != 'attached', 'it is let go', timeout=60)
            guest = daemon.get('/v1/guests/liar').json
            refused = time.monotonic() - begun
            assert 'a flood' in guest['error']['message'] and guest['error']['hint'], guest
            after = ticks(daemon.pid)
            time.sleep(5)
            idle = ticks(daemon.pid) - after
            assert idle < 2.5, f'{idle} s of the processor in 5 s, of a guest that is left alone'
            assert liar.links - links <= 1, 'it is tried again at once'
            assert peak.grown < MEMORY_MAX
        liar.flooding.clear()
        print(f"\n{event['event']}: snapshot {alone * 1000:.0f} ms alone, {beside * 1000:.0f} ms beside; "
              f'let go after {refused:.1f} s, {after - spent:.1f} s of the processor; memory grew by {peak.grown / MIB:.0f} MiB')
        assert beside < 5 * alone + 0.5, 'another guest pays for it'


def test_small_floods_are_endured(daemon, peers, tmp_path):
    """A thousand events a second are no flood; and another guest's events come through meanwhile."""
    line = b'{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 1}}\r\n'

    with Liar(tmp_path / 'qmp', peers('bad').qmp_path, flood=line) as liar:
        daemon.attach(liar.path, id='liar')
        end = time.monotonic() + 6
        while time.monotonic() < end:
            liar.flooding.set()
            time.sleep(0.001)
            liar.flooding.clear()
            time.sleep(0.05)
        assert daemon.get('/v1/guests/liar').json['state'] == 'attached'
        assert daemon.snapshot('liar')['state'] == 'succeeded'
