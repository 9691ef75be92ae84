"""The certificates of a test, as `batonctl tls-init` makes them, and what QEMU, libnbd and Python's
ssl want to be told about them."""
import secrets
import ssl

import baton_test


class Authority:
    """A private CA in `folder` with a folder for each node of `config` and for each of `clients`."""

    def __init__(self, folder, config, clients=("carol", "dave")):
        self.folder, self.config, self.clients = folder, config, clients
        self.make()

    def make(self, *options):
        named = [word for client in self.clients for word in ("--client", client)]
        baton_test.run([baton_test.program("batonctl"), "--config", self.config, "tls-init",
                        "--dir", self.folder, *named, *options])

    def renew(self):
        """New node and client certificates, of the same CA."""
        self.make("--renew")

    def of(self, name):
        return self.folder / name

    def context(self, name="carol", newest=None):
        """For a client that shows the certificate of `name` (None: that shows none)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.folder / "ca-cert.pem")
        if name is not None:
            context.load_cert_chain(self.of(name) / "client-cert.pem",
                                    self.of(name) / "client-key.pem")
        if newest is not None:
            context.maximum_version = newest
        return context


def write_keys(path, *names):
    """A file of pre-shared keys, a fresh one for each of `names`."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{name}:{secrets.token_hex(32)}\n" for name in names))
