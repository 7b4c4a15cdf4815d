# SPDX-License-Identifier: Apache-2.0
"""A paste filter in place of Keystone: the token `user:project:role,role` is taken at its word.

No token is an admin of project demo. A token that begins with `bad` is refused, and so is every one
while the file `expire_file` exists, with the answer that keystonemiddleware gives.
"""

import json
import os

ANONYMOUS = 'admin:demo:admin,member,reader'
REFUSAL = json.dumps({'error': {
    'code': 401,
    'title': 'Unauthorized',
    'message': 'The request you have made requires authentication.',
}}).encode()


def filter_factory(_global, expire_file, **_local):
    def refuse(start_response):
        start_response(
            '401 Unauthorized',
            [
                ('Content-Type', 'application/json'),
                ('Content-Length', str(len(REFUSAL))),
                ('WWW-Authenticate', 'Keystone uri="http://127.0.0.1:5000/v3"'),
            ],
        )
        return [REFUSAL]

    def wrap(application):
        def call(environ, start_response):
            token = environ.get('HTTP_X_AUTH_TOKEN') or ANONYMOUS
            if token.startswith('bad') or os.path.exists(expire_file):
                return refuse(start_response)
            user, project, roles = (token.split(':') + ['', ''])[:3]
            environ.update(
                HTTP_X_IDENTITY_STATUS='Confirmed',
                HTTP_X_USER_ID=user,
                HTTP_X_PROJECT_ID=project or 'demo',
                HTTP_X_TENANT_ID=project or 'demo',
                HTTP_X_ROLES=roles or 'member,reader',
            )
            return application(environ, start_response)

        return call

    return wrap
