# SPDX-License-Identifier: Apache-2.0
"""What every request goes through, whatever it is for."""

import json
import os
import re
import socket
import threading
import time

import pytest

from support.machine import wait_until

UUID = '3f2a54e0-5b0e-4a52-9f0e-6a7f7f1a6c55'
MIB = 1024 * 1024


def raw(daemon, text, timeout=30):
    """Sends bytes as they are, and reads until the daemon closes."""
    with socket.socket(socket.AF_UNIX) as plug:
        plug.settimeout(timeout)
        plug.connect(str(daemon.socket))
        plug.sendall(text)
        received = b''
        while chunk := plug.recv(65536):
            received += chunk
        return received


def status_of(received):
    return int(received.split()[1])


def test_error_form(daemon):
    answer = daemon.get('/v1/operations/' + UUID)
    assert answer.status == 404
    assert answer.headers['Content-Type'] == 'application/json'
    assert answer.error['code'] == 'not-found'
    assert answer.error['status'] == 404
    assert UUID in answer.error['message']


@pytest.mark.parametrize('path', ['/v1', '/v1/', '/v2/guests', '/v1/guests/', '/v1/guests/a/b',
                                  '/v1/guests/a/disks/', '/v1//guests', '/V1/guests', '/v1/health/x'])
def test_unknown_paths(daemon, path):
    answer = daemon.get(path)
    assert answer.status == 404
    assert answer.error['code'] == 'not-found'


@pytest.mark.parametrize('method, path, allow', [
    ('PUT', '/v1/guests', 'GET, POST'),
    ('DELETE', '/v1/guests', 'GET, POST'),
    ('POST', '/v1/guests/x', 'GET, DELETE'),
    ('POST', '/v1/health', 'GET'),
    ('PATCH', '/v1/images/x', 'GET, DELETE'),
    ('OPTIONS', '/v1/images', 'GET'),
    ('get', '/v1/images', 'GET'),
])
def test_wrong_methods(daemon, method, path, allow):
    answer = daemon.request(method, path)
    assert answer.status == 405
    assert answer.headers['Allow'] == allow
    assert answer.error['code'] == 'method-not-allowed'


def test_head_has_no_body(daemon):
    assert daemon.request('HEAD', '/v1/health').status == 405


def test_request_id_is_made(daemon):
    first, second = (daemon.get('/v1/health').headers['X-Openstack-Request-Id'] for _ in range(2))
    assert re.fullmatch(r'req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', first)
    assert first != second


def test_request_id_is_kept_and_logged(daemon):
    answer = daemon.get('/v1/nothing', headers={'X-Openstack-Request-Id': 'req-from-the-test'})
    assert answer.headers['X-Openstack-Request-Id'] == 'req-from-the-test'
    line = next(line for line in daemon.log.splitlines() if 'req-from-the-test' in line)
    assert 'GET /v1/nothing: 404' in line
    assert re.search(r'pid \d+, uid \d+, gid \d+', line)


@pytest.mark.parametrize('given', ['', 'a b', 'x' * 256, 'req"', 'req\\n'])
def test_unfit_request_ids_are_replaced(daemon, given):
    answer = daemon.get('/v1/health', headers={'X-Openstack-Request-Id': given})
    assert answer.status == 200
    assert answer.headers['X-Openstack-Request-Id'].startswith('req-')
    assert len(answer.headers['X-Openstack-Request-Id']) == 40


@pytest.mark.parametrize('host, status', [
    ('localhost', 200), ('LocalHost', 200), ('localhost:1', 200), ('127.0.0.1', 200), ('127.0.0.1:9', 200),
    ('[::1]', 200), ('[::1]:9', 200), ('qsnapd', 200), ('qsnapd:80', 200),
    ('example.org', 403), ('localhost.example.org', 403), ('127.0.0.1.example.org', 403),
    ('10.0.0.1', 403), ('localhost:x', 400), ('example.org:80', 403), ('x@localhost', 403),
])
def test_hosts(daemon, host, status):
    answer = daemon.get('/v1/health', headers={'Host': host})
    assert answer.status == status
    if status == 403:
        assert answer.error['code'] == 'forbidden'


def test_two_hosts(daemon):
    received = raw(daemon, b'GET /v1/health HTTP/1.1\r\nHost: localhost\r\nHost: example.org\r\n'
                           b'Connection: close\r\n\r\n')
    assert status_of(received) in (400, 403)


def test_host_of_an_absolute_target(daemon):
    received = raw(daemon, b'GET http://example.org/v1/health HTTP/1.1\r\nHost: localhost\r\n'
                           b'Connection: close\r\n\r\n')
    assert status_of(received) == 403
    received = raw(daemon, b'GET http://localhost/v1/health HTTP/1.1\r\nHost: localhost\r\n'
                           b'Connection: close\r\n\r\n')
    assert status_of(received) == 200


def test_without_host(daemon):
    # HTTP/1.1 demands one.
    assert status_of(raw(daemon, b'GET /v1/health HTTP/1.1\r\n\r\n')) == 400


def test_empty_host(daemon):
    received = raw(daemon, b'GET /v1/health HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n')
    assert status_of(received) == 200


@pytest.mark.parametrize('origin, status', [
    ('http://localhost', 200), ('https://localhost', 403), ('http://example.org', 403), ('null', 403),
    ('http://localhost.example.org', 403), ('http://localhost:81', 403), ('', 403),
])
def test_origins(daemon, origin, status):
    answer = daemon.get('/v1/health', headers={'Origin': origin})
    assert answer.status == status
    if status == 403:
        assert answer.error['code'] == 'forbidden'


def test_foreign_origin_changes_nothing(daemon):
    before = daemon.get('/v1/guests').json
    answer = daemon.post('/v1/guests', {'monitor': '/nowhere'}, headers={'Origin': 'http://example.org'})
    assert answer.status == 403
    assert daemon.get('/v1/guests').json == before


@pytest.mark.parametrize('query', ['?x=1', '?wait=1', '?guest=a&x'])
def test_unknown_parameters(daemon, query):
    answer = daemon.get('/v1/guests' + query)
    assert answer.status == 400
    assert 'parameter' in answer.error['message']


@pytest.mark.parametrize('path', ['/v1/guests/%', '/v1/guests/%0', '/v1/guests/%zz', '/v1/guests/%00',
                                  '/v1/guests/a%00b', '/v1/guests/%ff', '/v1/operations/%c3%28'])
def test_broken_escapes(daemon, path):
    assert daemon.get(path).status == 400


def test_names_are_decoded_once(daemon):
    assert '"a/b c"' in daemon.get('/v1/guests/a%2Fb%20c').error['message']
    assert '%2F' in daemon.get('/v1/guests/a%252Fb').error['message']
    assert daemon.get('/v1/guests/%2e%2e').status == 404


# Bodies

@pytest.mark.parametrize('kind', [None, 'text/plain', 'application/x-www-form-urlencoded', 'application/jsonx'])
def test_content_type(daemon, kind):
    answer = daemon.post('/v1/guests', b'{"monitor": "/nowhere"}', headers={'Content-Type': kind} if kind else {})
    assert answer.status == 400
    assert 'application/json' in answer.error['message'] + answer.error['hint']


def test_content_type_with_parameter(daemon):
    answer = daemon.post('/v1/guests', b'{}', headers={'Content-Type': 'Application/JSON; charset=utf-8'})
    assert 'monitor' in answer.error['message']


def test_no_body_where_none_belongs(daemon):
    assert daemon.request('DELETE', '/v1/guests/x', {}).status == 400
    assert daemon.request('GET', '/v1/guests', {}).status == 400


@pytest.mark.parametrize('body, problem', [
    (b'[]', 'expected an object'),
    (b'"x"', 'expected an object'),
    (b'{', 'name in double quotes'),
    (b'{"a"', "expected ':'"),
    (b'{"a":', 'ends too early'),
    (b'{"a":1', "expected ',' or '}'"),
    (b'{"a":1,}', 'name in double quotes'),
    (b'{"a":[1,]}', 'expected a value'),
    (b"{'a':1}", 'name in double quotes'),
    (b'{"a":1} x', 'something follows'),
    (b'{"a":1}{}', 'something follows'),
    (b'{"a":1,"a":2}', 'stands twice'),
    (b'{"a":01}', 'broken number'),
    (b'{"a":1.}', 'broken number'),
    (b'{"a":-}', 'broken number'),
    (b'{"a":1e}', 'broken number'),
    (b'{"a":1e999}', 'out of range'),
    (b'{"a":99999999999999999999}', 'out of range'),
    (b'{"a":NaN}', 'expected a value'),
    (b'{"a":tru}', 'expected a value'),
    (b'// x\n{}', 'expected an object'),
    (b'{"a":"\n"}', 'control character'),
    (b'{"a":"\\x"}', 'unknown escape'),
    (b'{"a":"\\u12"}', 'broken \\u'),
    (b'{"a":"\\ud800"}', 'broken \\u'),
    (b'{"a":"\\udc00"}', 'broken \\u'),
    (b'{"a":"\\ud800\\u0041"}', 'broken \\u'),
    (b'{"a":"\\u0000"}', 'NUL'),
    (b'{"a":"\0"}', 'NUL'),
    (b'{"a":"\xff"}', 'UTF-8'),
    (b'{"a":"\xed\xa0\x80"}', 'UTF-8'),
    (b'{"a":"x', 'without an end'),
    (b'{"a":' + b'[' * 32 + b']' * 32 + b'}', 'nested more than 32'),
    (b'{"a":' * 40000, 'nested more than 32'),
    (b' ' * 1000, 'expected an object'),
], ids=lambda value: repr(value[:24]))
def test_bad_json(daemon, body, problem):
    answer = daemon.post('/v1/guests', body, headers={'Content-Type': 'application/json'})
    assert answer.status == 400
    assert problem in answer.error['message']
    assert 'byte' in answer.error['message']


def test_good_json(daemon):
    # All of JSON is understood; what is refused is the member that does not exist.
    body = (b' {"\\u0062ad\\ud83d\\ude00\\n\\"\\\\\\/":[null,true,false,-0,1.5e-3,{},[],'
            b'9223372036854775807,"\xf0\x9f\x98\x80"]}\r\n\t ')
    answer = daemon.post('/v1/guests', body, headers={'Content-Type': 'application/json'})
    assert answer.status == 400
    assert 'bad\U0001f600\n"\\/' in answer.error['message']


def test_nesting_up_to_the_limit(daemon):
    body = b'{"x":' + b'[' * 31 + b']' * 31 + b'}'
    answer = daemon.post('/v1/guests', body, headers={'Content-Type': 'application/json'})
    assert 'no member "x"' in answer.error['message']


def test_large_bodies(daemon):
    padding = b' ' * (MIB - 2)
    answer = daemon.post('/v1/guests', b'{' + padding + b'}', headers={'Content-Type': 'application/json'})
    assert answer.status == 400 and 'monitor' in answer.error['message']
    answer = daemon.post('/v1/guests', b'{ ' + padding + b'}', headers={'Content-Type': 'application/json'})
    assert answer.status == 413
    assert answer.error['code'] == 'too-large'


def test_large_body_is_refused_before_it_comes(daemon):
    with socket.socket(socket.AF_UNIX) as plug:
        plug.settimeout(10)
        plug.connect(str(daemon.socket))
        plug.sendall(b'POST /v1/guests HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'
                     b'Content-Length: 9000000000000\r\nExpect: 100-continue\r\n\r\n')
        assert plug.recv(65536).startswith(b'HTTP/1.1 413')


def test_large_chunked_body(daemon):
    def chunks():
        for _ in range(40):
            yield b' ' * 65536
    connection = daemon.connect()
    connection.request('POST', '/v1/guests', chunks(), {'Content-Type': 'application/json'}, encode_chunked=True)
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())['error']['code'] == 'too-large'
    connection.close()


def test_endless_body_is_cut_off(daemon):
    with socket.socket(socket.AF_UNIX) as plug:
        plug.settimeout(30)
        plug.connect(str(daemon.socket))
        plug.sendall(b'POST /v1/guests HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'
                     b'Transfer-Encoding: chunked\r\n\r\n')
        with pytest.raises(OSError):
            for _ in range(1000):
                plug.sendall(b'10000\r\n' + b' ' * 65536 + b'\r\n')
    assert daemon.get('/v1/health').status == 200


@pytest.mark.parametrize('text', [
    b'\r\n\r\n', b'x', b'GET\r\n\r\n', b'GET /v1/health\r\n\r\n', b'\x00\x01\x02\r\n\r\n', b'\x16\x03\x01\x02\x00\x01\r\n\r\n',
    b'GET /v1/health HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n',
    b'GET ' + b'/x' * 100000 + b' HTTP/1.1\r\nHost: localhost\r\n\r\n',
    b'OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n',
    b'CONNECT example.org:80 HTTP/1.1\r\nHost: example.org\r\n\r\n',
], ids=lambda text: repr(text[:24]))
def test_broken_http(daemon, text):
    with socket.socket(socket.AF_UNIX) as plug:
        plug.settimeout(30)
        plug.connect(str(daemon.socket))
        try:
            plug.sendall(text)
            plug.shutdown(socket.SHUT_WR)
            received = b''
            while chunk := plug.recv(65536):
                received += chunk
        except (ConnectionResetError, BrokenPipeError):
            received = b''
    assert received == b'' or status_of(received) >= 400
    assert daemon.get('/v1/health').status == 200


# Connections

def test_connections_are_closed(daemon):
    """By the daemon, also when it answers without us; no descriptor stays behind."""
    def open_files():
        return len(os.listdir(f'/proc/{daemon.pid}/fd'))
    before = open_files()
    for text in (b'GET /v1/health HTTP/1.1\r\nHost: localhost\r\n\r\n',
                 b'GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n',
                 b'OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n',
                 b'broken\r\n\r\n'):
        assert raw(daemon, text, timeout=5).startswith(b'HTTP/1.')
    wait_until(lambda: open_files() <= before, 'the connections are closed')


def test_continue(daemon):
    """A client that waits for leave to send its body; the final answer is as any other."""
    with socket.socket(socket.AF_UNIX) as plug:
        plug.settimeout(10)
        plug.connect(str(daemon.socket))
        plug.sendall(b'POST /v1/guests HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'
                     b'X-Openstack-Request-Id: req-continued\r\nContent-Length: 2\r\n'
                     b'Expect: 100-continue\r\n\r\n')
        assert plug.recv(65536).startswith(b'HTTP/1.1 100 ')
        plug.sendall(b'{}')
        received = b''
        while chunk := plug.recv(65536):
            received += chunk
    assert received.startswith(b'HTTP/1.1 400 ')
    assert b'req-continued' in received and b'Connection: close' in received
    assert b'"monitor\\" is missing' in received


def test_many_connections_at_once(daemon):
    plugs = []
    try:
        for _ in range(200):
            plug = socket.socket(socket.AF_UNIX)
            plug.connect(str(daemon.socket))
            plug.sendall(b'GET /v1/health HTTP/1.1\r\nHost: local')
            plugs.append(plug)
        assert daemon.get('/v1/health').status == 200
        for plug in plugs:
            plug.sendall(b'host\r\n\r\n')
        for plug in plugs:
            plug.settimeout(30)
            assert plug.recv(65536).startswith(b'HTTP/1.1 200')
    finally:
        for plug in plugs:
            plug.close()


def test_too_many_connections(daemon):
    plugs = []
    try:
        for _ in range(600):
            plug = socket.socket(socket.AF_UNIX)
            plug.connect(str(daemon.socket))
            plugs.append(plug)
        plugs[0].settimeout(10)
        assert plugs[0].recv(65536).startswith(b'HTTP/1.1 503 '), 'the oldest one makes room'
    finally:
        for plug in plugs:
            plug.close()
    def works():
        try:
            return daemon.get('/v1/health').status == 200
        except OSError:
            return False
    wait_until(works, 'the daemon takes connections again')


def test_slow_clients_are_dropped(daemon):
    ended = {}

    def client(name, text):
        with socket.socket(socket.AF_UNIX) as plug:
            plug.settimeout(60)
            plug.connect(str(daemon.socket))
            plug.sendall(text)
            while plug.recv(65536):
                pass
            ended[name] = time.monotonic() - begin
    begin = time.monotonic()
    threads = [threading.Thread(target=client, args=each) for each in (
        ('silent', b''),
        ('header', b'GET /v1/health HTTP/1.1\r\nHo'),
        ('body', b'POST /v1/guests HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n'
                 b'Content-Length: 10\r\n\r\n{'))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(ended) == {'silent', 'header', 'body'}
    assert all(10 < seconds < 40 for seconds in ended.values())
