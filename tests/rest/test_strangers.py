# SPDX-License-Identifier: Apache-2.0
"""What somebody can do to us whom only Keystone could know: one that is made up here, so that it can be slow and wrong."""

import contextlib
import datetime
import http.client
import http.server
import json
import socket
import threading
import time

import pytest

from support.daemon import Daemon
from support.machine import wait_until

OURS, PASSWORD = 'the-project', 'what-only-we-know'


def free_port():
    with socket.socket() as plug:
        plug.bind(('127.0.0.1', 0))
        return plug.getsockname()[1]


class Cloud(http.server.ThreadingHTTPServer):
    """Keystone below /v3, and Glance without images. A token is 'USER/PROJECT/ROLE,ROLE'; others are nobody's."""
    daemon_threads = True

    def __init__(self):
        super().__init__(('127.0.0.1', 0), Handler)
        self.url = f'http://127.0.0.1:{self.server_port}'
        self.asked, self.refuses = [], False
        self.go_on = threading.Event()
        self.go_on.set()

    @contextlib.contextmanager
    def held(self):
        """Nobody is told whose a token is."""
        self.go_on.clear()
        try:
            yield
        finally:
            self.go_on.set()


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status, body, **headers):
        data = json.dumps(body).encode()
        with contextlib.suppress(OSError):
            self.send_response(status)
            for name, value in {'Content-Length': str(len(data)), 'Connection': 'close', **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    @staticmethod
    def about(user, project, roles):
        now = datetime.datetime.utcnow()
        return {'token': {'issued_at': now.isoformat() + 'Z', 'expires_at': (now + datetime.timedelta(hours=1)).isoformat() + 'Z',
                          'user': {'id': user}, 'project': {'id': project}, 'roles': [{'name': role} for role in roles]}}

    def do_POST(self):
        self.rfile.read(int(self.headers['Content-Length']))
        self.answer(201, self.about('daemon', OURS, ['member']), **{'X-Subject-Token': 'of-the-daemon'})

    def do_GET(self):
        if not self.path.startswith('/v3'):
            refused = self.server.refuses
            self.answer(401 if refused else 200, {'message': 'go away'} if refused else {'images': []})
            return
        token = self.headers['X-Subject-Token']
        self.server.asked.append(token)
        self.server.go_on.wait(60)
        parts = token.split('/')
        if len(parts) == 3:
            self.answer(200, self.about(*parts[:2], parts[2].split(',')))
        else:
            self.answer(404, {'error': {'message': 'no such token'}})

    def log_message(self, *_):
        pass


@pytest.fixture(scope='module')
def cloud():
    with Cloud() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture(scope='module')
def daemon(cloud, tmp_path_factory):
    """It has no token-file: a cloud will do."""
    folder = tmp_path_factory.mktemp('strangers')
    (folder / 'clouds.yaml').write_text(json.dumps({'clouds': {'c': {
        'auth': {'auth_url': cloud.url + '/v3', 'user_id': 'u', 'password': PASSWORD, 'project_id': OURS},
        'image_endpoint_override': cloud.url}}}))
    port = free_port()
    with Daemon(folder / 'd', options={'store.kind': 'glance', 'glance.cloud': 'c', 'glance.clouds-file': folder / 'clouds.yaml',
                                       'rest.listen': f'127.0.0.1:{port}'}) as running:
        running.port = port
        yield running


def ask(daemon, token, path='/v1/images', method='GET', body=None):
    return daemon.request(method, path, body, {} if token is None else {'X-Auth-Token': token},
                          http.client.HTTPConnection('127.0.0.1', daemon.port, timeout=60))


class Asker(threading.Thread):
    """Asks beside us; the status is in `status`, the answer's error in `error`, its time in `took`."""

    def __init__(self, daemon, token, path='/v1/images'):
        super().__init__(daemon=True)
        self.arguments, self.status = (daemon, token, path), None
        self.start()

    def run(self):
        begun = time.monotonic()
        answer = ask(*self.arguments)
        self.status, self.error, self.took = answer.status, answer.error, time.monotonic() - begun


# Who may do what

def test_who_has_no_token_is_told_which(daemon):
    for token in None, '', 'nonsense', 'x' * 5000:
        answer = ask(daemon, token)
        assert answer.status == 401 and answer.headers['WWW-Authenticate'] == 'Bearer'
    assert 'Keystone' in ask(daemon, None).error['hint']
    assert 'credentials' not in ask(daemon, 'nonsense').error.get('hint', ''), 'those are not the asker’s'


@pytest.mark.parametrize('roles, looks, acts, attaches', [
    ('', False, False, False), ('swiftoperator', False, False, False), ('reader', True, False, False),
    ('reader,member', True, True, False), ('manager', True, True, False), ('admin', True, True, True)])
def test_roles(daemon, roles, looks, acts, attaches):
    """As Nova has it: readers look, members act. Guests are the host's, and so an administrator's."""
    token = f'somebody/{OURS}/{roles}'
    nobody = '00000000-0000-4000-8000-000000000000'
    cases = [
        (looks, 'GET', '/v1/images', None, 200), (looks, 'GET', '/v2.1/servers/detail', None, 200),
        (looks, 'HEAD', '/v2.1/servers', None, 200),
        (acts, 'POST', f'/v2.1/servers/{nobody}/action', {'createImage': {'name': 'x'}}, 404),
        (acts, 'POST', '/v1/guests/none/snapshots', {}, 404), (acts, 'POST', '/v1/guests/none/images', {}, 404),
        (acts, 'DELETE', f'/v1/operations/{nobody}', None, 404),
        (looks, 'GET', '/v1/guests/none/tree', None, 404), (acts, 'POST', '/v1/guests/none/disks/d/commit', {}, 404),
        (acts, 'POST', '/v1/guests/none/snapshots/p/revert', {}, 404), (acts, 'DELETE', '/v1/guests/none/snapshots/p', None, 404),
        (acts, 'POST', '/v1/guests/none/shorten', {}, 404), (acts, 'POST', '/v1/guests/none/restore', {}, 404),
        (acts, 'PATCH', '/v1/operations/none', {}, 404), (attaches, 'POST', '/v1/guests/none/disks/d/mirror', {}, 404),
        (attaches, 'PUT', '/v1/guests/none/tree', {}, 404),
        (attaches, 'POST', '/v1/guests', {}, 400), (attaches, 'DELETE', '/v1/guests/none', None, 404)]
    for may, method, path, body, status in cases:
        answer = ask(daemon, token, path, method, body)
        assert answer.status == (status if may else 403), (method, path, answer.body)
        if not may and path.startswith('/v1'):
            assert answer.error['code'] == 'forbidden' and 'role' in answer.error['hint']


@pytest.mark.parametrize('roles, status', [('reader', 403), ('member', 403), ('admin', 200)])
def test_other_projects(daemon, roles, status):
    assert ask(daemon, f'somebody/elsewhere/{roles}').status == status


def test_the_log_says_who_it_was(daemon):
    ask(daemon, f'a-user\x7f/{OURS}/member', '/v1/guests/none/snapshots', 'POST', {})
    ask(daemon, f'the-user/{OURS}/member', '/v1/guests/none/snapshots', 'POST', {})
    assert f'POST /v1/guests/none/snapshots: 404 (user the-user, project {OURS}, address 127.0.0.1' in daemon.log
    assert '\x7f' not in daemon.log


# What it costs us

def test_bodies_of_strangers_are_small(daemon, cloud):
    body = json.dumps({'name': 'x' * (64 << 10)}).encode()
    headers = {'Content-Type': 'application/json', 'X-Auth-Token': 'not/seen-yet/member'}
    for more in {}, {'Transfer-Encoding': 'chunked'}:
        connection = http.client.HTTPConnection('127.0.0.1', daemon.port, timeout=60)
        sent = [body[:1000], body[1000:]] if more else body
        connection.request('POST', '/v1/guests/none/snapshots', sent, {**headers, **more}, encode_chunked=bool(more))
        answer = connection.getresponse()
        assert answer.status == 413, answer.read()
        connection.close()
    assert 'not/seen-yet/member' not in cloud.asked
    answer = daemon.post('/v1/guests/none/snapshots', body, headers={'Content-Type': 'application/json'})
    assert answer.status == 404, 'on the socket it is large enough only from 1 MiB on'


def test_a_keystone_that_hangs(daemon, cloud):
    """Images, and who is known, do not wait for strangers; nor do strangers without end, nor too many."""
    known = f'known/{OURS}/member'
    assert ask(daemon, known).status == 200
    with cloud.held():
        first = [Asker(daemon, f'first-{i}') for i in range(2)]
        wait_until(lambda: {'first-0', 'first-1'} <= set(cloud.asked), 'both threads ask')
        strangers = [Asker(daemon, f'stranger-{i}') for i in range(64 + 20)]
        wait_until(lambda: sum(each.status == 503 for each in strangers) == 20, 'what is too much is refused at once', timeout=8)
        for token in None, known:
            begun = time.monotonic()
            answer = daemon.get('/v1/images') if token is None else ask(daemon, token)
            assert answer.status == 200 and time.monotonic() - begun < 3
        for each in first + strangers:
            each.join(30)
            assert each.status in (503, 504) and each.took < 20
        assert [each.error['code'] for each in first] == ['timeout', 'timeout']
    assert ask(daemon, f'later/{OURS}/member').status == 200


def test_nobodies_do_not_push_out_who_is_known(daemon, cloud):
    known = f'remembered/{OURS}/member'
    assert ask(daemon, known).status == 200
    for begin in range(0, 1100, 50):
        for each in [Asker(daemon, f'nobody-{begin + i}') for i in range(50)]:
            each.join(60)
            assert each.status == 401
    assert ask(daemon, known).status == 200
    assert cloud.asked.count(known) == 1


def test_it_is_the_daemons_own_token_that_is_refused(daemon, cloud):
    """Not 401: clients would get another token of theirs, and ask again."""
    cloud.refuses = True
    try:
        for token in None, f'fine/{OURS}/member':
            answer = daemon.get('/v1/images') if token is None else ask(daemon, token)
            assert answer.status == 502 and answer.error['code'] == 'store', answer.body
            assert 'credentials' in answer.error['hint']
            assert 'WWW-Authenticate' not in answer.headers
    finally:
        cloud.refuses = False
    assert PASSWORD not in daemon.log
