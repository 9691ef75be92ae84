"""Where a contender listens and what its client is told: a unix socket, TCP, or TCP with TLS; and
the certificates for that."""
import baton_test

HOST = "127.0.0.1"
TRANSPORTS = ("unix", "tcp", "tls")


class Endpoint:
    """A unix socket (`path`), or a TCP `port`; with TLS where there is a folder of `certificates`."""

    def __init__(self, path=None, port=None, certificates=None):
        self.path = path
        self.port = port
        self.certificates = certificates

    @property
    def listens(self):
        """As baton_test.accepts wants it."""
        return self.path or (HOST, self.port)

    def uri(self, export=""):
        if self.path:
            return f"nbd+unix:///{export}?socket={self.path}"
        if self.certificates:
            return f"nbds://{HOST}:{self.port}/{export}?tls-certificates={self.certificates}"
        return f"nbd://{HOST}:{self.port}/{export}"


def make_certificates(folder):
    """An authority, a server and a client, EC P-256, under the names that nbdkit, QEMU and libnbd
    look for."""
    _certificate(folder, "ca", "an authority for one comparison", "basicConstraints=critical,CA:true",
                 "keyUsage=critical,keyCertSign")
    signed = ("basicConstraints=critical,CA:false", "keyUsage=critical,digitalSignature")
    _certificate(folder, "server", HOST, *signed, "extendedKeyUsage=serverAuth",
                 f"subjectAltName=IP:{HOST}", authority="ca")
    _certificate(folder, "client", "client", *signed, "extendedKeyUsage=clientAuth", authority="ca")


def _certificate(folder, name, common_name, *extensions, authority=None):
    argv = [baton_test.find_program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-noenc", "-days", "2", "-subj", f"/CN={common_name}",
            "-keyout", f"{folder}/{name}-key.pem", "-out", f"{folder}/{name}-cert.pem"]
    for extension in extensions:
        argv += ["-addext", extension]
    if authority:
        argv += ["-CA", f"{folder}/{authority}-cert.pem", "-CAkey", f"{folder}/{authority}-key.pem"]
    baton_test.run(argv)
