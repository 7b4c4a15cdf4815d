# SPDX-License-Identifier: Apache-2.0
"""TLS in front of a service that has none, with a certificate that only we know."""

import contextlib
import socket
import ssl
import subprocess
import threading
import urllib.parse


def make_certificate(folder):
    """(certificate, key) of localhost, signed by itself."""
    certificate, key = folder / 'certificate.pem', folder / 'key.pem'
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                    'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2',
                    '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost',
                    '-keyout', key, '-out', certificate], check=True, stderr=subprocess.DEVNULL)
    return certificate, key


def _pump(source, sink):
    try:
        while piece := source.recv(65536):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        pass


@contextlib.contextmanager
def tls(url, certificate, key):
    """The service at `url` behind TLS: its other address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    parts = urllib.parse.urlsplit(url)

    def serve(plain):
        try:
            with context.wrap_socket(plain, server_side=True) as here, \
                    socket.create_connection((parts.hostname, parts.port)) as there:
                back = threading.Thread(target=_pump, args=(there, here))
                back.start()
                _pump(here, there)
                back.join()
        except OSError:
            pass

    def accept():
        while True:
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(plain,), daemon=True).start()

    with socket.create_server(('127.0.0.1', 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f'https://localhost:{listener.getsockname()[1]}{parts.path}'
        listener.shutdown(socket.SHUT_RDWR)
