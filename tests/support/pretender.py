# SPDX-License-Identifier: Apache-2.0
"""A daemon that says what it is told to, for what qsnap makes of answers that a real one gives too seldom."""

import contextlib
import http.server
import json
import os
import socket
import subprocess
import threading
import time

from .daemon import program

UUID = '3f2a54e0-5b0e-4a52-9f0e-6a7f7f1a6c55'
WAIT = f'/v1/operations/{UUID}?wait=1'
SNAPSHOTS = '/v1/guests/web/snapshots'
IMAGES = '/v1/guests/web/images'


def operation(state='running', done=0, total=0, step='upload', **members):
    """One as a daemon shows it."""
    return {'id': UUID, 'kind': 'snapshot', 'guest': 'web', 'state': state, 'step': step, 'error': None,
            'progress': {'done': done, 'total': total}, 'result': {}, **members}


class Pretender:
    """Answers by a script: {(method, path): answers, in order, the last again and again}."""

    def __init__(self, folder, script):
        self.socket, self.script, self.requests = folder / 'pretender.sock', script, []
        pretender = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def handle_any(self):
                length = int(self.headers.get('Content-Length', 0))
                body = self.rfile.read(length)
                pretender.requests.append((self.command, self.path, json.loads(body) if body else None, self.headers))
                answers = pretender.script[self.command, self.path]
                status, answer = answers.pop(0) if len(answers) > 1 else answers[0]
                if '?wait=' in self.path:
                    time.sleep(0.05)
                text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                with contextlib.suppress(BrokenPipeError):      # who is interrupted hangs up
                    self.send_response(status)
                    self.send_header('Content-Length', str(len(text)))
                    self.send_header('Connection', 'close')
                    self.end_headers()
                    self.wfile.write(text)
            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            address_family = socket.AF_UNIX

            def server_bind(self):
                self.socket.bind(self.server_address)

            def get_request(self):
                plug, _ = self.socket.accept()
                return plug, ('pretender', 0)
        self.server = Server(str(self.socket), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={'poll_interval': 0.05})

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def command(self, *words):
        return [program('QSNAP', 'qsnap'), '--socket', str(self.socket), *map(str, words)]

    def qsnap(self, *words, **options):
        return subprocess.run(self.command(*words), text=True, capture_output=True, timeout=60,
                              env={**os.environ, 'LC_ALL': 'C.UTF-8'}, **options)
