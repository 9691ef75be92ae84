"""Listens in on a connection: a TCP proxy that keeps every byte it carries."""
import socket
import threading


class Tap:
    def __init__(self, target_port):
        self.target_port = target_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._heard = {}  # by direction of a connection, so that nothing is torn apart
        threading.Thread(target=self._accept, name="tap", daemon=True).start()

    def close(self):
        self._listener.close()

    def heard(self, what):
        """Whether these bytes have gone by."""
        with self._lock:
            return any(what in carried for carried in self._heard.values())

    def bytes_carried(self):
        with self._lock:
            return sum(len(carried) for carried in self._heard.values())

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return  # closed
            try:
                far = socket.create_connection(("127.0.0.1", self.target_port))
            except OSError:
                near.close()
                continue
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source, sink):
        with self._lock:
            carried = self._heard[source] = bytearray()
        try:
            while data := source.recv(65536):
                with self._lock:
                    carried += data
                sink.sendall(data)
        except OSError:
            pass  # one end is gone; the other one hears of it below
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # gone already
