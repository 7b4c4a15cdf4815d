# SPDX-License-Identifier: Apache-2.0
"""Nova's dialect over TCP: who may ask, and what OpenStack's own clients make of it."""

import http.client
import http.server
import json
import os
import shutil
import socket
import subprocess
import threading

import pytest

from support import Machine, create_qcow2
from support.daemon import Daemon
from support.machine import wait_until

TOKEN = 'correct-horse-battery-staple'
UUID = '9d3c2f70-6a55-4b43-8f6e-0c2f3a1b5e77'


def free_port():
    with socket.socket() as plug:
        plug.bind(('127.0.0.1', 0))
        return plug.getsockname()[1]


@pytest.fixture(scope='module')
def tcp(tmp_path_factory):
    """A daemon that has a running guest, and listens."""
    folder = tmp_path_factory.mktemp('tcp')
    (folder / 'token').write_text(TOKEN + '\n')
    port = free_port()
    with Machine(disks=[create_qcow2(folder / 'disk')], folder=folder / 'p', kind='blockdev', uuid=UUID) as vm, \
            Daemon(folder / 'd', options={'rest.listen': f'127.0.0.1:{port}', 'rest.token-file': folder / 'token'}) as daemon:
        daemon.attach(vm.qmp_path, id='web')
        daemon.url = f'http://127.0.0.1:{port}'
        daemon.port = port
        yield daemon


def ask(daemon, path, headers=None, method='GET', body=None):
    return daemon.request(method, path, body, headers,
                          http.client.HTTPConnection('127.0.0.1', daemon.port, timeout=60))


# Who may ask

@pytest.mark.parametrize('path', ['/', '/v2.1', '/v2.1/'])
def test_version_documents_take_no_token(tcp, path):
    for headers in {}, {'X-Auth-Token': 'wrong'}, {'Authorization': 'Bearer wrong'}:
        assert ask(tcp, path, headers).status == 200
    assert ask(tcp, path, {'Host': 'example.org'}).status == 403
    assert tcp.url in ask(tcp, path).body.decode()


@pytest.mark.parametrize('headers', [{'X-Auth-Token': TOKEN}, {'Authorization': 'Bearer ' + TOKEN},
                                     {'Authorization': 'Bearer wrong', 'X-Auth-Token': TOKEN},
                                     {'Authorization': 'Bearer ' + TOKEN, 'X-Auth-Token': 'wrong'}])
def test_tokens(tcp, headers):
    for path in '/v2.1/servers', '/v1/guests':
        assert ask(tcp, path, headers).status == 200


@pytest.mark.parametrize('given', ['', 'wrong', TOKEN[:-1], TOKEN + 'x', 'Bearer ' + TOKEN, TOKEN.upper(), 'x' * 8000, '\xe4'])
def test_wrong_tokens(tcp, given):
    for path in '/v2.1/servers', f'/v2.1/servers/{UUID}', '/v2.1/nothing', '/v2.1/p/servers', '/v1/guests':
        answer = ask(tcp, path, {'X-Auth-Token': given})
        assert answer.status == 401
        assert answer.headers['WWW-Authenticate'] == 'Bearer'
        assert TOKEN not in answer.body.decode()
        if path.startswith('/v2.1'):
            assert answer.json['unauthorized']['code'] == 401
        else:
            assert answer.error['code'] == 'unauthorized'


def test_nothing_is_done_without_a_token(tcp):
    for headers in {}, {'X-Auth-Token': 'wrong'}:
        for body in {'createImage': {'name': 'x'}}, b'{':
            answer = ask(tcp, f'/v2.1/servers/{UUID}/action', {'Content-Type': 'application/json', **headers}, 'POST', body)
            assert answer.status == 401
    assert tcp.get('/v1/operations').json['operations'] == []


def test_links_lead_back(tcp):
    server = ask(tcp, '/v2.1/servers', {'X-Auth-Token': TOKEN}).json['servers'][0]
    assert server['links'][0]['href'] == f'{tcp.url}/v2.1/servers/{UUID}'


def test_links_lead_back_without_a_host(tcp):
    with socket.create_connection(('127.0.0.1', tcp.port), timeout=30) as plug:
        plug.sendall(b'GET /v2.1/ HTTP/1.0\r\n\r\n')
        answer = b''.join(iter(lambda: plug.recv(4096), b''))
    assert f'"{tcp.url}/v2.1/"'.encode() in answer, answer


# OpenStack's own clients

class NoCloud(http.server.BaseHTTPRequestHandler):
    """As much of an image service as clients need to list servers, and of an identity service."""

    def answer(self, status, body, **headers):
        self.send_response(status)
        for name, value in {'Content-Type': 'application/json', **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def do_GET(self):
        def version(name, path):
            return {'id': name, 'status': 'CURRENT', 'links': [{'rel': 'self', 'href': f'http://{self.headers["Host"]}{path}'}]}
        self.answer(200, {'version': version('v3.14', '/v3/')} if '/v3' in self.path else
                    {'images': []} if 'images' in self.path else {'versions': [version('v2.9', '/v2/')]})

    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        token = {'methods': ['password'], 'user': {'id': 'u', 'name': 'u', 'domain': {'id': 'd', 'name': 'd'}}, 'catalog': [],
                 'project': {'id': 'p', 'name': 'p', 'domain': {'id': 'd', 'name': 'd'}},
                 'issued_at': '2026-01-01T00:00:00.000000Z', 'expires_at': '2999-01-01T00:00:00.000000Z'}
        self.answer(201, {'token': token}, **{'X-Subject-Token': TOKEN})

    def log_message(self, *_):
        pass


@pytest.fixture(scope='module')
def cloud():
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), NoCloud) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{service.server_port}'
        service.shutdown()


@pytest.fixture
def client(tcp, cloud, tmp_path):
    """client('openstack', 'server', 'list') -> what it printed, parsed where it is JSON."""
    (tmp_path / 'clouds.yaml').write_text(json.dumps({'clouds': {'q': {
        'auth_type': 'admin_token', 'auth': {'endpoint': tcp.url + '/v2.1', 'token': TOKEN},
        'image_endpoint_override': cloud}}}))

    def run(program, *arguments, status=0):
        path = f'/usr/bin/{program}'
        assert shutil.which(path), f'{path} is missing'
        options = ['--os-cloud', 'q'] if program == 'openstack' else [
            '--os-auth-url', cloud + '/v3', '--os-username', 'u', '--os-password', 'p', '--os-project-name', 'p',
            '--os-user-domain-id', 'd', '--os-project-domain-id', 'd', '--os-endpoint-override', tcp.url + '/v2.1']
        environment = {key: value for key, value in os.environ.items() if not key.startswith('OS_')}
        done = subprocess.run([path, *options, *arguments], text=True, capture_output=True, timeout=120, cwd=tmp_path,
                              env={**environment, 'OS_CLIENT_CONFIG_FILE': str(tmp_path / 'clouds.yaml'), 'HOME': str(tmp_path)})
        assert done.returncode == status, done.stdout + done.stderr
        return json.loads(done.stdout) if 'json' in arguments else done.stdout + done.stderr
    return run


def test_openstack_lists_servers(client):
    listed = client('openstack', 'server', 'list', '-f', 'json')
    assert [(each['ID'], each['Name'], each['Status']) for each in listed] == [(UUID, 'web', 'ACTIVE')]
    assert len(client('openstack', 'server', 'list', '--long', '--name', '^web$', '--status', 'ACTIVE', '-f', 'json')) == 1
    assert client('openstack', 'server', 'list', '--name', 'other', '-f', 'json') == []


@pytest.mark.parametrize('minor', ['2.1', '2.47', '2.90'])
def test_openstack_in_each_version(client, minor):
    options = ['--os-compute-api-version', minor]
    assert len(client('openstack', *options, 'server', 'list', '-f', 'json')) == 1
    shown = client('openstack', *options, 'server', 'show', 'web', '-f', 'json')
    assert (shown['id'], shown['status'], shown['OS-EXT-STS:task_state']) == (UUID, 'ACTIVE', None)


def test_openstack_shows_a_server(client):
    for name in 'web', UUID:
        assert client('openstack', 'server', 'show', name, '-f', 'json')['id'] == UUID
    assert 'No server with a name or ID' in client('openstack', 'server', 'show', 'other', status=1)


def test_nova_lists_and_shows(client):
    assert UUID in client('nova', 'list')
    assert UUID in client('nova', '--os-compute-api-version', '2.1', 'list')
    assert 'ACTIVE' in client('nova', 'show', 'web')
    assert '2.90' in client('nova', 'version-list')


def test_openstack_sees_what_was_done(tcp, client):
    """A snapshot by the name of the action, with its steps."""
    answer = ask(tcp, f'/v2.1/servers/{UUID}/action', {'X-Auth-Token': TOKEN}, 'POST', {'snapshot': {'name': 'here'}})
    assert answer.status == 202, answer.body
    image = answer.headers['Location'].rsplit('/', 1)[1]
    assert ask(tcp, f'/v1/images/{image}', {'X-Auth-Token': TOKEN}).status == 200
    request = answer.headers['X-Compute-Request-Id']
    wait_until(lambda: not tcp.get('/v1/operations?state=running').json['operations'], 'it is over')
    listed = client('openstack', 'server', 'event', 'list', 'web', '-f', 'json')
    assert [(each['Request ID'], each['Action']) for each in listed] == [(request, 'snapshot')]
    shown = client('openstack', '--os-compute-api-version', '2.84', 'server', 'event', 'show', 'web', request, '-f', 'json')
    assert shown['request_id'] == request
    assert 'take-point' in client('nova', 'instance-action', 'web', request)
    assert TOKEN not in tcp.log
