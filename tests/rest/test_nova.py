# SPDX-License-Identifier: Apache-2.0
"""Nova's dialect: versions, servers and what is refused, asked by raw HTTP."""

import json
import socket
import time
import urllib.parse
import uuid

import pytest

from support import Machine, create_qcow2
from support.daemon import Daemon
from support.machine import wait_until

UUID = '3f2a54e0-5b0e-4a52-9f0e-6a7f7f1a6c55'
NOBODY = '00000000-0000-4000-8000-000000000000'
NAMESPACE = uuid.UUID('8e2f5a51-5f37-4c0b-9d1e-31c4776a90d2')   # of ids made from names
FAULTS = {400: 'badRequest', 401: 'unauthorized', 403: 'forbidden', 404: 'itemNotFound', 405: 'badMethod', 406: 'computeFault',
          409: 'conflictingRequest', 413: 'overLimit', 500: 'computeFault', 503: 'serviceUnavailable'}


def message_of(answer, status):
    """What a fault says; it must have Nova's form."""
    assert answer.status == status, answer.body
    assert answer.headers['Content-Type'] == 'application/json'
    assert list(answer.json) == [FAULTS[status]]
    fault = answer.json[FAULTS[status]]
    assert fault['code'] == status
    return fault['message']


def version(minor):
    return {'X-OpenStack-Nova-API-Version': f'2.{minor}'}


def servers(daemon, path='', **options):
    answer = daemon.get('/v2.1/servers' + path, **options)
    assert answer.status == 200, answer.body
    return answer.json['servers']


@pytest.fixture(scope='module')
def machine(tmp_path_factory):
    folder = tmp_path_factory.mktemp('vm')
    with Machine(disks=[create_qcow2(folder / 'disk')], folder=folder / 'p', kind='blockdev', uuid=UUID, name='qemu-name') as vm:
        yield vm


@pytest.fixture(scope='module')
def server(daemon, machine):
    """A running guest, by the name of web."""
    daemon.attach(machine.qmp_path, id='web')
    yield f'/v2.1/servers/{UUID}'
    assert daemon.delete('/v1/guests/web').status == 204


# Versions

@pytest.mark.parametrize('path', ['/v2.1', '/v2.1/'])
def test_version_document(daemon, path):
    answer = daemon.get(path)
    assert answer.status == 200
    document = answer.json['version']
    assert (document['id'], document['status']) == ('v2.1', 'CURRENT')
    assert (document['min_version'], document['version']) == ('2.1', '2.90')
    assert document['links'][0] == {'rel': 'self', 'href': 'http://localhost/v2.1/'}
    assert document['media-types'][0]['base'] == 'application/json'


def test_versions(daemon):
    answer = daemon.get('/', headers={'Host': 'localhost:8774'})
    assert answer.status == 200
    assert [(each['id'], each['links'][0]['href']) for each in answer.json['versions']] == [('v2.1', 'http://localhost:8774/v2.1/')]


@pytest.mark.parametrize('path', ['/', '/v2.1', '/v2.1/', '/v2.1/servers'])
def test_head(daemon, path):
    answer = daemon.request('HEAD', path)
    assert (answer.status, answer.body) == (200, b'')
    assert int(answer.headers['Content-Length']) > 10


@pytest.mark.parametrize('headers, spoken', [
    ({}, '2.1'),
    ({'X-OpenStack-Nova-API-Version': '2.1'}, '2.1'),
    ({'X-OpenStack-Nova-API-Version': '2.90'}, '2.90'),
    ({'X-OpenStack-Nova-API-Version': 'latest'}, '2.90'),
    ({'OpenStack-API-Version': 'compute 2.45'}, '2.45'),
    ({'OpenStack-API-Version': 'Compute latest'}, '2.90'),
    ({'OpenStack-API-Version': 'image 2.9, compute 2.3, volume 3.1'}, '2.3'),
    ({'OpenStack-API-Version': 'image 9.9'}, '2.1'),
    ({'OpenStack-API-Version': 'compute 2.53', 'X-OpenStack-Nova-API-Version': '2.2'}, '2.53'),
])
def test_microversions(daemon, headers, spoken):
    answer = daemon.get('/v2.1/servers', headers=headers)
    assert answer.status == 200
    assert answer.headers['OpenStack-API-Version'] == f'compute {spoken}'
    assert answer.headers['X-OpenStack-Nova-API-Version'] == spoken
    assert answer.headers['Vary'] == 'OpenStack-API-Version, X-OpenStack-Nova-API-Version'


@pytest.mark.parametrize('given, status', [
    ('2.0', 406), ('2.91', 406), ('3.1', 406), ('1.1', 406), ('2.99999999999999999999999', 406),
    ('', 400), ('2', 400), ('2.', 400), ('.1', 400), ('2.01', 400), ('2.1.1', 400), ('2.x', 400), ('v2.1', 400), ('2.-1', 400),
    ('2.+1', 400), ('Latest', 400), ('2. 1', 400), ('9' * 4000, 400),
])
def test_versions_that_are_not_spoken(daemon, given, status):
    for headers in {'X-OpenStack-Nova-API-Version': given}, {'OpenStack-API-Version': 'compute ' + (given or '?')}:
        answer = daemon.get('/v2.1/servers', headers=headers)
        assert '2.90' in message_of(answer, status) or status == 400
        assert answer.headers['Vary']
        assert 'OpenStack-API-Version' not in answer.headers


def test_a_version_is_refused_before_anything_is_done(daemon, server):
    answer = daemon.post(server + '/action', {'createImage': {'name': 'x'}}, headers=version(91))
    message_of(answer, 406)
    assert daemon.get('/v1/operations?guest=web').json['operations'] == []


# Paths and faults

@pytest.mark.parametrize('path', ['/v2.1/nothing', '/v2.1/flavors/detail', '/v2.1/servers/', '/v2.1//servers', '/v2.1/servers/x/y',
                                  '/v2.1/servers/x/action/y', '/v2.1/p/q/servers'])
def test_unknown_paths(daemon, path):
    message_of(daemon.get(path), 404)


@pytest.mark.parametrize('method, path, allow', [
    ('POST', '/', 'GET'), ('PUT', '/v2.1', 'GET'), ('POST', '/v2.1/servers', 'GET'), ('DELETE', f'/v2.1/servers/{UUID}', 'GET'),
    ('GET', f'/v2.1/servers/{UUID}/action', 'POST'), ('PATCH', f'/v2.1/servers/{UUID}/os-instance-actions', 'GET'),
])
def test_wrong_methods(daemon, method, path, allow):
    answer = daemon.request(method, path)
    message_of(answer, 405)
    assert answer.headers['Allow'] == allow


def test_other_faults_have_the_form_too(daemon):
    message_of(daemon.get('/v2.1/servers', headers={'Host': 'example.org'}), 403)
    message_of(daemon.get('/v2.1/servers/%ff'), 400)
    message_of(daemon.get('/v2.1/servers', headers={'Origin': 'http://example.org'}), 403)


def test_request_ids(daemon):
    answer = daemon.get('/v2.1/servers', headers={'X-Openstack-Request-Id': 'req-of-mine'})
    assert answer.headers['X-Openstack-Request-Id'] == answer.headers['X-Compute-Request-Id'] == 'req-of-mine'
    assert daemon.get('/v2.1/nothing').headers['X-Compute-Request-Id'].startswith('req-')


# Servers

@pytest.mark.parametrize('name', ['web', 'qemu-name', NOBODY, 'x' * 3000, '%00', "'"])
def test_names_are_no_ids(daemon, server, name):
    for rest in '', '/os-instance-actions', '/os-instance-actions/req-x':
        answer = daemon.get(f'/v2.1/servers/{name}{rest}')
        if name == '%00':
            assert answer.status in (400, 404)
        else:
            assert 'could not be found' in message_of(answer, 404)
    if name != '%00':
        message_of(daemon.post(f'/v2.1/servers/{name}/action', {'createImage': {'name': 'x'}}), 404)


def test_a_server(daemon, server, machine):
    found = daemon.get(server).json['server']
    assert (found['id'], found['name'], found['status']) == (UUID, 'web', 'ACTIVE')
    assert (found['OS-EXT-STS:vm_state'], found['OS-EXT-STS:power_state'], found['OS-EXT-STS:task_state']) == ('active', 1, None)
    assert found['OS-EXT-SRV-ATTR:instance_name'] == 'qemu-name'
    assert (found['image'], found['addresses'], found['metadata']) == ('', {}, {})
    assert found['flavor']['id'] == 'qemu'
    assert found['links'][0] == {'rel': 'self', 'href': 'http://localhost' + server}
    assert found['created'].endswith('Z') and found['updated'] >= found['created']
    assert daemon.get(server.upper().replace('V2.1/SERVERS', 'v2.1/servers')).json['server']['id'] == UUID


def test_lists(daemon, server):
    assert servers(daemon) == [{key: daemon.get(server).json['server'][key] for key in ('id', 'name', 'links')}]
    assert servers(daemon, '/detail') == [daemon.get(server).json['server']]


def test_a_project_in_the_path(daemon, server):
    for project in '1f0a', 'p1', 'a-b':
        assert daemon.get(server.replace('/servers', f'/{project}/servers')).json == daemon.get(server).json
        assert daemon.get(f'/v2.1/{project}/servers/detail').json == daemon.get('/v2.1/servers/detail').json


@pytest.mark.parametrize('minor, member', [(3, 'OS-EXT-SRV-ATTR:hostname'), (9, 'locked'), (16, 'host_status'), (19, 'description'),
                                           (26, 'tags'), (63, 'trusted_image_certificates'), (71, 'server_groups'), (73, 'locked_reason')])
def test_members_come_with_their_version(daemon, server, minor, member):
    assert member not in daemon.get(server, headers=version(minor - 1)).json['server']
    for there in minor, 90:
        assert member in daemon.get(server, headers=version(there)).json['server']


def test_flavor_is_told_from_its_version_on(daemon, server):
    assert 'id' in daemon.get(server, headers=version(46)).json['server']['flavor']
    assert daemon.get(server, headers=version(47)).json['server']['flavor'] == {
        'original_name': 'qemu', 'vcpus': 0, 'ram': 0, 'disk': 0, 'ephemeral': 0, 'swap': 0, 'extra_specs': {}}


def test_a_paused_guest(daemon, server, machine):
    def status():
        return daemon.get(server).json['server']['status']
    machine.qmp.execute('stop')
    try:
        wait_until(lambda: status() == 'PAUSED', 'the server is paused')
        assert daemon.get(server).json['server']['OS-EXT-STS:power_state'] == 3
        assert len(servers(daemon, '?status=paused')) == 1 and servers(daemon, '?status=ACTIVE') == []
    finally:
        machine.qmp.execute('cont')
    wait_until(lambda: status() == 'ACTIVE', 'the server goes on')


def test_a_guest_without_a_uuid(daemon, peer):
    """Its id is made of its name, and stays."""
    daemon.attach(peer.qmp_path, id='plain')
    try:
        found = servers(daemon, '/detail?name=%5Eplain$')[0]
        assert found['id'] == str(uuid.uuid5(NAMESPACE, 'plain'))
        assert daemon.get(f'/v2.1/servers/{found["id"]}').json['server'] == found
        assert found['flavor']['id'] == 'storage-daemon'
    finally:
        daemon.delete('/v1/guests/plain')
    message_of(daemon.get(f'/v2.1/servers/{found["id"]}'), 404)


def test_a_guest_that_is_gone(tmp_path, daemon):
    with Machine(disks=[create_qcow2(tmp_path / 'disk')], folder=tmp_path / 'p', uuid=NOBODY) as vm:
        daemon.attach(vm.qmp_path, id='gone')
        vm.kill()
        path = f'/v2.1/servers/{NOBODY}'
        wait_until(lambda: daemon.get(path).json['server']['status'] == 'ERROR', 'the server is gone')
        found = daemon.get(path).json['server']
        assert found['OS-EXT-STS:vm_state'] == 'error'
        assert found['fault']['code'] == 500 and found['fault']['message']
        said = message_of(daemon.post(path + '/action', {'createImage': {'name': 'x'}}), 409)
        assert said == f"Cannot 'createImage' instance {NOBODY} while it is in vm_state error"
        assert daemon.delete('/v1/guests/gone').status == 204


def test_the_time_of_creation_does_not_waver(daemon, server):
    """Two clocks make it, whose seconds do not begin together."""
    until, seen = time.monotonic() + 1.2, set()
    while time.monotonic() < until:
        seen.add(daemon.get(server).json['server']['created'])
    assert len(seen) == 1


# Filters and pages

@pytest.mark.parametrize('query, found', [
    ('name=web', True), ('name=^web$', True), ('name=w.b', True), ('name=eb', True), ('name=', True), ('name=webb', False),
    ('name=^eb', False), ('status=ACTIVE', True), ('status=active', True), ('status=PAUSED', False), ('status=nonsense', False),
    ('status=', False), ('name=web&status=ERROR', False), ('limit=1', True), ('limit=0', False), ('limit=5000', True),
    ('image=' + UUID, False), ('ip=10.0.0.1', False), ('tags=x', False), ('nonsense=x', True), ('all_tenants=True&deleted=False', True),
    ('sort_key=created_at&sort_dir=desc', True), ('changes-since=2020-01-01', True), (f'marker={UUID}', False),
])
def test_filters(daemon, server, query, found):
    for path in '', '/detail':
        assert len(servers(daemon, f'{path}?{query}')) == found


@pytest.mark.parametrize('query', [
    'name=(', 'name=[', 'name=*', 'name=%ff', 'name=' + 'x' * 300, 'limit=-1', 'limit=x', 'limit=', 'limit=1.5',
    'limit=99999999999999999999', 'marker=nothing', 'marker=' + NOBODY, 'marker=%ff', 'marker=' + 'x' * 4000, 'status=%ff',
])
def test_bad_filters(daemon, server, query):
    assert message_of(daemon.get('/v2.1/servers?' + query), 400)


def test_an_expression_that_would_take_for_ever(daemon, peer):
    """Its work is limited, also when it asks for more itself."""
    daemon.attach(peer.qmp_path, id='a' * 60)
    try:
        for pattern in '(a+)+$x', '(*LIMIT_MATCH=4000000000)(a+)+$x', '((a*)*)*b', '(a|aa)+$b':
            answer = daemon.get('/v2.1/servers?name=' + urllib.parse.quote(pattern))
            assert answer.status == 200 or 'too long' in message_of(answer, 400)
        assert daemon.get('/v2.1/servers?name=' + urllib.parse.quote('(a|aa)+[bc]+$')).status == 400
    finally:
        daemon.delete('/v1/guests/' + 'a' * 60)


def test_pages(daemon, server, peer):
    try:
        daemon.attach(peer.qmp_path, id='b')
        seen, path, pages = [], '/v2.1/servers?limit=1&name=.&x=%26', 0
        while path:
            answer = daemon.get(path).json
            seen += [each['name'] for each in answer['servers']]
            links = answer.get('servers_links', [])
            path = links[0]['href'].removeprefix('http://localhost') if links else None
            pages += 1
            assert all('name=.' in each['href'] and 'x=%26' in each['href'] for each in links)
        assert (seen, pages) == (['b', 'web'], 2)
    finally:
        daemon.delete('/v1/guests/b')


def test_a_guest_that_is_there_twice(tmp_path):
    """It came back elsewhere, and its UUID with it: one server."""
    (tmp_path / 'conf').write_text('[daemon]\n' + ''.join(
        f'[guest {name}]\nmonitor = {tmp_path}/{name}\nuuid = {UUID}\n' for name in 'ab') + f'[guest c]\nmonitor = {tmp_path}/c\n')
    with Daemon(tmp_path / 'd', args=['--config', tmp_path / 'conf']) as daemon:
        assert len(daemon.get('/v1/guests').json['guests']) == 3
        first = daemon.get('/v2.1/servers?limit=1').json
        assert [each['id'] for each in first['servers']] == [UUID]
        second = daemon.get(first['servers_links'][0]['href'].removeprefix('http://localhost')).json
        assert [each['name'] for each in second['servers']] == ['c'] and 'servers_links' not in second


def test_many_parameters(daemon, server):
    query = '&'.join(f'marker={NOBODY}' for _ in range(500))
    message_of(daemon.get('/v2.1/servers?' + query), 400)
    assert len(servers(daemon, '?' + '&'.join(f'k{i}=v' for i in range(500)))) == 1


# What an action may say

GOOD = {'name': 'x'}


@pytest.mark.parametrize('body, problem', [
    (None, 'Malformed'),
    ({}, 'Malformed'),
    ({'createImage': GOOD, 'snapshot': GOOD}, '2 actions'),
    ({'reboot': {'type': 'HARD'}}, 'no such action: reboot'),
    ({'createimage': GOOD}, 'no such action'),
    ({'createImage': None}, 'createImage'),
    ({'createImage': []}, 'createImage'),
    ({'createImage': 'x'}, 'createImage'),
    ({'createImage': {}}, "'name' is a required"),
    ({'createImage': {'metadata': {}}}, "'name' is a required"),
    ({'snapshot': {}}, "'name' is a required"),
    ({'snapshot': {**GOOD, 'image': 'none'}}, 'image'),
    ({'snapshot': {**GOOD, 'nonsense': 1}}, 'nonsense'),
    ({'createImage': {**GOOD, 'disks': ['a']}}, 'disks'),
])
def test_bad_actions(daemon, server, body, problem):
    assert problem in message_of(daemon.post(server + '/action', body), 400)
    assert daemon.get('/v1/operations?guest=web').json['operations'] == []


@pytest.mark.parametrize('name', [None, 1, [], '', ' ', ' x', 'x ', 'a\nb', 'x' * 256])
def test_bad_names(daemon, server, name):
    assert 'attribute name' in message_of(daemon.post(server + '/action', {'createImage': {'name': name}}), 400)


@pytest.mark.parametrize('metadata, problem', [
    (None, 'metadata'), ([], 'metadata'), ({'': 'x'}, 'metadata'), ({'a/b': 'x'}, 'metadata'), ({'k' * 256: 'x'}, 'metadata'),
    ({'a': 1}, 'attribute a'), ({'a': None}, 'attribute a'), ({'k': 'x' * 256}, 'attribute k'),
    ({f'k{i}': 'x' for i in range(129)}, 'limit exceeded'),
])
def test_bad_metadata(daemon, server, metadata, problem):
    assert problem in message_of(daemon.post(server + '/action', {'createImage': {**GOOD, 'metadata': metadata}}), 400)


@pytest.mark.parametrize('body', [b'{', b'[]', b'"createImage"', b'{"createImage": {"name": "x",}}', b'\xff',
                                  b'{"createImage": {"name": "\\ud800"}}'])
def test_bodies_that_are_no_json(daemon, server, body):
    message_of(daemon.post(server + '/action', body, headers={'Content-Type': 'application/json'}), 400)


def test_a_body_that_is_too_large(daemon, server):
    message_of(daemon.post(server + '/action', {'createImage': {'name': 'x', 'metadata': {'k': 'x' * (1 << 20)}}}), 413)


def test_a_header_that_is_too_large(daemon, server):
    with socket.socket(socket.AF_UNIX) as plug:
        plug.settimeout(30)
        plug.connect(str(daemon.socket))
        try:
            plug.sendall(b'GET /v2.1/servers HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: ' + b'x' * (1 << 20) + b'\r\n\r\n')
            assert plug.recv(12) in (b'', b'HTTP/1.1 400', b'HTTP/1.1 200')
        except ConnectionError:
            pass
    assert daemon.get('/v2.1').status == 200


# What has been done

def test_no_actions(daemon, server):
    assert daemon.get(server + '/os-instance-actions').json == {'instanceActions': []}
    for name in 'req-' + NOBODY, NOBODY, 'req-', 'x', 'x' * 2000:
        message_of(daemon.get(f'{server}/os-instance-actions/{name}'), 404)


def test_a_snapshot(daemon, server):
    """The layer below the point becomes an image, which is there with the answer."""
    answer = daemon.post(server + '/action', {'snapshot': {'name': 'nightly', 'metadata': {'by': 'test'}}}, headers=version(45))
    assert answer.status == 202, answer.body
    assert list(answer.json) == ['image_id'] and 'Location' not in answer.headers
    image = daemon.get('/v1/images/' + answer.json['image_id'])
    assert image.status == 200 and image.json['properties']['by'] == 'test'
    request = answer.headers['X-Compute-Request-Id']
    operation = request.removeprefix('req-')
    assert daemon.finished(operation)['state'] == 'succeeded'

    listed = daemon.get(server + '/os-instance-actions', headers=version(90)).json['instanceActions']
    assert [each['request_id'] for each in listed] == [request]
    action = daemon.get(f'{server}/os-instance-actions/{request}', headers=version(90)).json['instanceAction']
    assert (action['action'], action['instance_uuid'], action['message']) == ('snapshot', UUID, None)
    assert action['start_time'] <= action['updated_at'] and not action['start_time'].endswith('Z')
    assert 'take-point' in [event['event'] for event in action['events']]
    assert {event['result'] for event in action['events']} == {'Success'}
    assert all(event['start_time'] <= event['finish_time'] for event in action['events'])
    assert 'updated_at' not in daemon.get(f'{server}/os-instance-actions/{request}').json['instanceAction']
    assert json.dumps(action)
