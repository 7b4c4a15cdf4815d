# SPDX-License-Identifier: Apache-2.0
"""Requests about chains and points: what makes sense, what is refused, and what is changed while it runs."""

import json
import os
import urllib.parse
import uuid

import pytest

from support import StorageDaemon, create_qcow2

UUID = '3f2a54e0-5b0e-4a52-9f0e-6a7f7f1a6c55'
NAME = 'vor/nach dem ☃ 100%'
VERBS = [('POST', '/disks/{disk}/commit'), ('POST', '/disks/{disk}/stream'), ('POST', '/disks/{disk}/mirror'),
         ('POST', '/snapshots/{point}/revert'), ('DELETE', '/snapshots/{point}'), ('POST', '/shorten'), ('POST', '/restore')]


@pytest.fixture
def guest(daemon, tmp_path):
    """A storage daemon whose disk has three layers, in the lower two of which a point lives."""
    args = ['--nbd-server', f'addr.type=unix,addr.path={tmp_path / "p/nbd"}',
            '--export', 'nbd,id=disk0,node-name=node0,writable=on']
    with StorageDaemon(disks=[create_qcow2(tmp_path / 'disk')], write=False, args=args, folder=tmp_path / 'p') as peer:
        # Points outlive their guest: another one of the same name would have them.
        name = daemon.attach(peer.qmp_path, id='web-' + uuid.uuid4().hex)
        for point in ('first', NAME):
            daemon.snapshot(name, name=point, image='none')
        yield Guest(daemon, name)
        assert daemon.delete('/v1/guests/' + name).status == 204


class Guest:
    def __init__(self, daemon, name):
        self.daemon, self.name = daemon, name
        self.disk = self.get('/disks').json['disks'][0]['name']

    def get(self, path):
        return self.daemon.get(f'/v1/guests/{self.name}{path}')

    def ask(self, method, path, body=None, query='', **options):
        filled = path.format(disk=quote(self.disk), point='first')
        return self.daemon.request(method, f'/v1/guests/{self.name}{filled}{query}', body, **options)

    def points(self):
        return [point['name'] for point in self.get('/snapshots').json['snapshots']]

    def state(self):
        return (self.points(), [layer['path'] for layer in self.get('/disks').json['disks'][0]['layers']],
                [operation['id'] for operation in self.daemon.get('/v1/operations?guest=' + self.name).json['operations']])


def quote(name):
    return urllib.parse.quote(name, safe='')


def refused(guest, status, *words, **parameters):
    before = guest.state()
    answer = guest.ask(**parameters)
    assert answer.status == status, answer.body
    for word in words:
        assert word in answer.error['message'], answer.error
    assert guest.state() == before
    return answer.error


@pytest.mark.parametrize('method, path', VERBS)
def test_members_that_are_not_there(guest, method, path):
    refused(guest, 400, 'nonsense', method=method, path=path, body={'nonsense': 1})


@pytest.mark.parametrize('method, path', VERBS)
@pytest.mark.parametrize('query', ['?dry_run=yes', '?nonsense=1', '?dry_run=TRUE'])
def test_parameters_that_make_no_sense(guest, method, path, query):
    refused(guest, 400, query[1:].split('=')[0], method=method, path=path, query=query)


@pytest.mark.parametrize('method, path', VERBS)
def test_bad_keys(guest, method, path):
    for key in ('x' * 256, 'ä'):
        refused(guest, 400, 'Idempotency-Key', method=method, path=path, headers={'Idempotency-Key': key})


@pytest.mark.parametrize('method, path, member', [(method, path, 'point' if '{point}' in path else 'disk')
                                                  for method, path in VERBS if '{' in path])
def test_what_the_path_says_already(guest, method, path, member):
    refused(guest, 400, f'"{member}"', 'path', method=method, path=path, body={member: 'x'})


@pytest.mark.parametrize('method, path, body', [
    ('POST', '/disks/{disk}/commit', {'speed': -1}), ('POST', '/disks/{disk}/commit', {'speed': 'fast'}),
    ('POST', '/disks/{disk}/commit', {'top': 1}),
    ('POST', '/disks/{disk}/commit', {'on_error': 'maybe', 'discard_points': True}),
    ('POST', '/disks/{disk}/commit', {'on_deadline': 'maybe', 'discard_points': True}),
    ('POST', '/disks/{disk}/commit', {'deadline': 0}),
    ('POST', '/disks/{disk}/commit', {'discard_points': 'yes'}), ('POST', '/disks/{disk}/commit', {'dry_run': 1}),
    ('POST', '/disks/{disk}/stream', {'into': []}), ('POST', '/disks/{disk}/stream', {'deadline': 1}),
    ('POST', '/disks/{disk}/mirror', {}), ('POST', '/disks/{disk}/mirror', {'target': 'x'}),
    ('POST', '/disks/{disk}/mirror', {'target': {}}), ('POST', '/disks/{disk}/mirror', {'target': {'path': 'relative'}}),
    ('POST', '/disks/{disk}/mirror', {'target': {'path': '/x', 'device': '/y'}}),
    ('POST', '/disks/{disk}/mirror', {'target': {'path': '/x'}, 'sync': 'most'}),
    ('POST', '/snapshots/{point}/revert', {'reset': 'no'}), ('POST', '/snapshots/{point}/revert', {'name': ''}),
    ('POST', '/snapshots/{point}/revert', {'disks': []}),
    ('DELETE', '/snapshots/{point}', {'disks': 1}), ('POST', '/shorten', {'max_chain_length': -1}),
    ('POST', '/shorten', {'max_chain_length': '3'}), ('POST', '/restore', {}), ('POST', '/restore', {'image': 1}),
])
def test_values_that_make_no_sense(guest, method, path, body):
    refused(guest, 400, method=method, path=path, body=body)


@pytest.mark.parametrize('method, path, body, missing', [
    ('POST', '/disks/no%2Fwhere/commit', None, 'no/where'), ('POST', '/disks/no%2Fwhere/stream', None, 'no/where'),
    ('POST', '/disks/nowhere/mirror', {'target': {'path': '/tmp/nowhere'}}, 'nowhere'),
    ('POST', '/snapshots/never%20%E2%98%83/revert', None, 'never ☃'), ('DELETE', '/snapshots/never%20%E2%98%83', None, 'never ☃'),
    ('DELETE', '/snapshots/{point}', {'disks': ['nowhere']}, 'nowhere'), ('POST', '/shorten', {'disks': ['nowhere']}, 'nowhere'),
])
def test_what_is_not_there(guest, method, path, body, missing):
    refused(guest, 404, missing, method=method, path=path, body=body)


def test_disks_of_a_delete(guest):
    refused(guest, 404, 'nowhere', method='DELETE', path='/snapshots/{point}', query='?disks=nowhere')
    refused(guest, 400, 'disks', method='DELETE', path='/snapshots/{point}', query='?disks=a', body={'disks': ['a']})


@pytest.mark.parametrize('how', [{'query': '?dry_run=true'}, {'query': '?dry_run'}, {'body': {'dry_run': True}},
                                 {'query': '?dry_run=false', 'body': {'dry_run': True}}])
def test_plans(guest, how):
    before = guest.state()
    for method, path, more in (('DELETE', '/snapshots/{point}', {}), ('DELETE', '/snapshots/' + quote(NAME), {}),
                               ('POST', '/shorten', {'max_chain_length': 2}), ('POST', '/disks/{disk}/stream', {})):
        answer = guest.ask(method, path, {**more, **how.get('body', {})}, how.get('query', ''))
        assert answer.status == 200, answer.body
        assert isinstance(answer.json['moves'], list) and answer.json['bytes'] >= 0
    assert guest.state() == before


def test_points_that_would_be_lost(guest):
    refused(guest, 409, 'first', method='POST', path='/disks/{disk}/commit')


def test_a_name_of_two_points(guest):
    guest.daemon.snapshot(guest.name, name='first', image='none')
    for method, path in (('DELETE', '/snapshots/first'), ('POST', '/snapshots/first/revert')):
        refused(guest, 409, 'first', method=method, path=path)


def test_a_point_is_deleted(guest):
    answer = guest.ask('DELETE', '/snapshots/' + quote(NAME))
    assert answer.status == 202, answer.body
    assert answer.headers['Location'] == f"/v1/operations/{answer.json['id']}"
    assert answer.json['kind'] == 'delete'
    done = guest.daemon.finished(answer.json['id'])
    assert done['state'] == 'succeeded', done
    assert guest.points() == ['first']


def test_the_same_key(guest):
    key = {'Idempotency-Key': os.urandom(8).hex()}
    first, again = (guest.ask('DELETE', '/snapshots/{point}', headers=key) for _ in range(2))
    assert first.status == again.status == 202
    assert first.json['id'] == again.json['id']
    assert guest.daemon.finished(first.json['id'])['state'] == 'succeeded'
    assert guest.ask('DELETE', '/snapshots/' + quote(NAME), headers=key).status == 409


def test_a_name_is_no_path(guest):
    """What is encoded once is decoded once."""
    assert guest.ask('DELETE', '/snapshots/' + quote(quote(NAME))).status == 404
    assert guest.ask('DELETE', '/snapshots/' + NAME.encode()[:4].decode() + '/x').status == 404
    assert guest.ask('DELETE', '/snapshots/%ff').status == 400


# The tree

def test_the_tree(guest):
    tree = guest.get('/tree').json
    assert tree['guest'] == guest.name
    disk, = tree['disks']
    layers = {os.path.basename(layer['path']): layer for layer in disk['layers']}
    assert disk['disk'] == guest.disk and len(layers) == 3
    names = {point['id']: point['name'] for point in tree['points']}
    assert {name: [names[id] for id in layer['points']] for name, layer in layers.items()} == {
        'disk.0': ['first'], 'disk.1': [NAME], 'disk.2': []}
    shown = guest.daemon.qsnap('tree', guest.name, check=True).stdout
    assert [line.split()[1] for line in shown.splitlines()[1:]] == ['disk.2', 'disk.1', '◆', 'disk.0', 'first']
    assert json.loads(guest.daemon.qsnap('tree', guest.name, '--json', check=True).stdout) == tree


@pytest.mark.parametrize('body', [{}, {'disks': 1}, {'guest': 'web', 'disks': [1], 'points': []}, {'folder': 1}])
def test_trees_that_make_no_sense(guest, body):
    refused(guest, 400, method='PUT', path='/tree', body=body)


# PATCH

@pytest.mark.parametrize('body, problem', [
    (None, 'nothing'), ({}, 'nothing'), ({'speed': -1}, 'speed'), ({'speed': '1M'}, 'speed'), ({'speed': 1.5}, 'speed'),
    ({'speed': None}, 'speed'), ({'paused': 1}, 'paused'), ({'paused': 'yes'}, 'paused'), ({'state': 'cancelled'}, '"state"'),
    ({'speed': 1, 'step': 'x'}, '"step"'),
])
def test_changes_that_make_no_sense(guest, body, problem):
    operation = guest.daemon.get('/v1/operations?guest=' + guest.name).json['operations'][0]
    answer = guest.daemon.request('PATCH', f"/v1/operations/{operation['id']}", body)
    assert answer.status == 400
    assert problem in answer.error['message']


def test_changing_what_is_over_or_not_there(guest):
    operation = guest.daemon.get('/v1/operations?guest=' + guest.name).json['operations'][0]
    answer = guest.daemon.request('PATCH', f"/v1/operations/{operation['id']}", {'speed': 1})
    assert answer.status == 409 and 'is over' in answer.error['message']
    assert guest.daemon.request('PATCH', f'/v1/operations/{UUID}', {'speed': 1}).status == 404
    assert guest.daemon.qsnap('pause', operation['id']).returncode == 5
    assert guest.daemon.qsnap('speed', UUID, '1M').returncode == 4
