# SPDX-License-Identifier: Apache-2.0
"""The table of routes, data/openapi.yaml, and what the daemon does: three times the same."""

import pathlib
import re

import jsonschema
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENT = yaml.safe_load((ROOT / 'data/openapi.yaml').read_text())
METHODS = ('get', 'post', 'put', 'patch', 'delete')


def resolve(node):
    while '$ref' in node:
        target = DOCUMENT
        for part in node['$ref'].removeprefix('#/').split('/'):
            target = target[part]
        node = target
    return node


def documented():
    """(method, path with {} for each parameter) -> the operation"""
    return {(method.upper(), re.sub(r'{\w+}', '{}', path)): item[method]
            for path, item in DOCUMENT['paths'].items() for method in METHODS if method in item}


def table():
    """(method, pattern) -> (whether it takes a body, its parameters), from the daemon's source"""
    text = (ROOT / 'agent/rest/routes.c').read_text()
    rows = re.findall(r'^  { "(\w+)", +"([^"]+)",\s+\w+,\s+([\w |]+),\s+{ (.*?) +},?$', text.replace(' } }', '  }'), re.M)
    return {(method, pattern): ('ROUTE_TAKES_BODY' in flags, set(re.findall(r'"(\w+)"', query)))
            for method, pattern, flags, query in rows}


def is_nova(path):
    return path == '/' or path.startswith('/v2.1')


def schema(node):
    """A schema of the document, with what it refers to."""
    return {**node, 'components': DOCUMENT['components']}


def assert_valid(instance, node):
    jsonschema.validate(instance, schema(node), cls=jsonschema.Draft202012Validator)


def test_each_route_is_documented_and_the_other_way_round():
    rows = re.findall(r'^  { "[A-Z]+",', (ROOT / 'agent/rest/routes.c').read_text(), re.M)
    assert len(table()) == len(rows) >= 15
    assert set(table()) == set(documented())


@pytest.mark.parametrize('route', documented(), ids=' '.join)
def test_bodies_and_parameters_are_documented(route):
    takes_body, query = table()[route]
    assert takes_body == ('requestBody' in documented()[route])
    # Nova passes over what it does not know.
    assert is_nova(route[1]) or query == {parameter['name'] for parameter in map(resolve, documented()[route].get('parameters', []))
                     if parameter['in'] == 'query'}


@pytest.mark.parametrize('path', DOCUMENT['paths'])
def test_methods(daemon, path):
    answer = daemon.request('TRACE', re.sub(r'{\w+}', 'x', path))
    assert answer.status == 405
    assert set(answer.headers['Allow'].split(', ')) == {
        method.upper() for method in METHODS if method in DOCUMENT['paths'][path]}
    assert_valid(answer.json, {'$ref': f'#/components/schemas/{"NovaFault" if is_nova(path) else "Error"}'})


def examples():
    """All examples, with the schemas that they are to fit."""
    for (method, path), operation in documented().items():
        contents = [resolve(answer).get('content', {}) for answer in operation['responses'].values()]
        contents.append(operation.get('requestBody', {}).get('content', {}))
        for content in contents:
            for media in content.values():
                given = [media['example']] if 'example' in media else []
                for example in given + [each['value'] for each in media.get('examples', {}).values()]:
                    yield pytest.param(example, media['schema'], id=f'{method} {path}')


@pytest.mark.parametrize('example, node', examples())
def test_examples_fit_their_schemas(example, node):
    assert_valid(example, node)


def test_answers_fit_their_schemas(daemon, peer):
    """A life with a guest; each answer is as documented."""
    def check(method, path, status, body=None, **parameters):
        names = iter([parameters.get('name'), parameters.get('second')])
        filled = re.sub('{}', lambda _: next(names), path) + parameters.get('query', '')
        answer = daemon.request(method, filled, body)
        assert answer.status == status, answer.body
        answers = documented()[method, path]['responses']
        described = resolve(answers.get(str(status), answers['default']))
        if 'content' in described:
            assert_valid(answer.json, described['content']['application/json']['schema'])
        else:
            assert answer.body == b''
        return answer

    assert check('POST', '/v1/guests', 201, {'monitor': str(peer.qmp_path), 'id': 'life'}).headers['Location'] == '/v1/guests/life'
    assert check('GET', '/v1/guests', 200).json['guests'][0]['id'] == 'life'
    check('GET', '/v1/guests/{}', 200, name='life')
    assert len(check('GET', '/v1/guests/{}/disks', 200, name='life').json['disks']) == 1

    begun = check('POST', '/v1/guests/{}/snapshots', 202, {'name': 'here'}, name='life')
    operation = begun.json['id']
    assert begun.headers['Location'] == f'/v1/operations/{operation}'
    ended = check('GET', '/v1/operations/{}', 200, name=operation, query='?wait=60').json
    assert ended['state'] == 'succeeded', ended['error']
    assert check('GET', '/v1/operations', 200, query='?guest=life').json['operations'][0]['id'] == operation
    assert len(check('GET', '/v1/guests/{}/snapshots', 200, name='life').json['snapshots']) == 1

    disk, = check('GET', '/v1/guests/{}/tree', 200, name='life').json['disks']
    assert len(disk['layers']) == 2
    check('PUT', '/v1/guests/{}/tree', 400, {}, name='life')
    for method, path, body in (('POST', '/v1/guests/{}/disks/{}/stream', None), ('POST', '/v1/guests/{}/shorten', {'max_chain_length': 2}),
                               ('DELETE', '/v1/guests/{}/snapshots/{}', None)):
        check(method, path, 200, body, name='life', second=disk['disk'] if 'disks' in path else 'here', query='?dry_run=true')
    begun = check('DELETE', '/v1/guests/{}/snapshots/{}', 202, name='life', second='here')
    assert begun.headers['Location'] == f"/v1/operations/{begun.json['id']}"
    deleted = check('GET', '/v1/operations/{}', 200, name=begun.json['id'], query='?wait=60').json
    assert (deleted['kind'], deleted['state']) == ('delete', 'succeeded'), deleted['error']
    check('PATCH', '/v1/operations/{}', 409, {'paused': True}, name=deleted['id'])

    begun = check('POST', '/v1/guests/{}/images', 202, {'name': 'whole', 'disks': 'all', 'format': 'raw'}, name='life')
    taken = check('GET', '/v1/operations/{}', 200, name=begun.json['id'], query='?wait=60').json
    assert taken['state'] == 'succeeded', taken['error']
    assert taken['kind'] == 'image' and taken['result']['disks'][0]['folded'] is True
    whole = taken['result']['images'][0]['id']
    assert check('GET', '/v1/images/{}', 200, name=whole).json['disk_format'] == 'raw'
    check('DELETE', '/v1/images/{}', 204, name=whole)

    image = ended['result']['disks'][0]['image_id']
    assert image in [each['id'] for each in check('GET', '/v1/images', 200).json['images']]
    assert check('GET', '/v1/images/{}', 200, name=image).json['status'] == 'active'
    check('DELETE', '/v1/images/{}', 204, name=image, query='?force=true')
    assert check('GET', '/v1/health', 200).json['guests'] == {'known': 1, 'attached': 1}
    check('POST', '/v1/reload', 200)
    check('DELETE', '/v1/guests/{}', 204, name='life')
    assert_valid(daemon.get('/v1/guests/life').json, {'$ref': '#/components/schemas/Error'})
