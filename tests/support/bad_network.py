"""A replication link that can be cut, stalled, made one-way or half-open: a TCP proxy of the test's
own, since the kernel offers nothing of the kind here."""
import selectors
import socket
import threading

CHUNK = 65536


class _Side:
    """One direction of a connection: from `source`, what it has not yet given to `sink`."""

    def __init__(self, source, sink, path):
        self.source, self.sink, self.path = source, sink, path
        self.waiting = b""


class Path:
    """From one node to the other: what the first dials, and where that leads."""

    def __init__(self, name, target_port):
        self.name = name
        self.target_port = target_port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.port = self.listener.getsockname()[1]


class BadNetwork:
    """Both nodes dial, each through a path of its own; a direction is named by the node that sends.
    All methods may be called from the test's thread."""

    def __init__(self, ports):
        """`ports`: of the nodes' replication listeners, by name."""
        names = list(ports)
        self.paths = {name: Path(name, ports[other])
                      for name, other in zip(names, reversed(names))}
        self._lock = threading.Lock()
        self._swallowed = set()  # nodes whose bytes vanish
        self._stalled = set()    # nodes whose bytes are kept back
        self._refusing = False
        self._pairs = []         # of sides
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        for path in self.paths.values():
            self._selector.register(path.listener, selectors.EVENT_READ, path)
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="network", daemon=True)
        self._thread.start()

    def port_for(self, name):
        """What the node dials to reach the other."""
        return self.paths[name].port

    def reset(self):
        """Every connection ends now; new ones are accepted."""
        with self._lock:
            self._close_all()
        self._poke()

    def silence(self, *names):
        """What these nodes send vanishes; both ends keep their sockets. New links get nowhere."""
        with self._lock:
            self._swallowed = set(names)
            self._refusing = True
        self._poke()

    def stall(self, *names):
        """What these nodes send is kept back, and delivered after heal()."""
        with self._lock:
            self._stalled = set(names)
        self._poke()

    def half_open(self, name):
        """The node's own ends of the connections close, and the other node is not told."""
        with self._lock:
            for pair in self._pairs:
                for side in pair:
                    if side.path == name:
                        self._forget(side.source)
            self._refusing = True
        self._poke()

    def heal(self):
        """As it was; connections that have lost bytes end, as TCP would end them."""
        with self._lock:
            if self._swallowed or self._refusing:
                self._close_all()
            self._swallowed, self._stalled, self._refusing = set(), set(), False
        self._poke()

    def close(self):
        with self._lock:
            self._ended = True
        self._poke()
        self._thread.join()

    # --- the thread ---

    def _poke(self):
        self._waker.send(b"x")

    def _forget(self, sock):
        try:
            self._selector.unregister(sock)
        except (KeyError, ValueError):
            pass
        sock.close()

    def _close_all(self):
        for pair in self._pairs:
            for side in pair:
                self._forget(side.source)
        self._pairs = []

    def _run(self):
        while True:
            events = self._selector.select()
            with self._lock:
                if self._ended:
                    break
                for key, _ in events:
                    if key.fileobj is self._wake:
                        self._wake.recv(CHUNK)
                    elif isinstance(key.data, Path):
                        self._accept(key.data)
                for pair in list(self._pairs):
                    self._pump(pair)
        self._close_all()
        for path in self.paths.values():
            path.listener.close()

    def _accept(self, path):
        try:
            near, _ = path.listener.accept()
        except OSError:
            return
        if self._refusing:
            near.close()
            return
        try:
            far = socket.create_connection(("127.0.0.1", path.target_port), timeout=2)
        except OSError:
            near.close()
            return
        other = next(name for name in self.paths if name != path.name)
        for sock in (near, far):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(sock, selectors.EVENT_READ, None)
        self._pairs.append((_Side(near, far, path.name), _Side(far, near, other)))

    def _pump(self, pair):
        ended = False
        for side in pair:
            ended = self._move(side) or ended
        if ended:
            for side in pair:
                self._forget(side.source)
            self._pairs.remove(pair)
            return
        for index, side in enumerate(pair):
            back = pair[1 - index]
            if side.source.fileno() < 0:
                continue
            wanted = 0
            if side.path not in self._stalled and not side.waiting:
                wanted |= selectors.EVENT_READ
            if back.waiting:
                wanted |= selectors.EVENT_WRITE
            self._watch(side.source, wanted)

    def _watch(self, sock, wanted):
        known = sock in self._selector.get_map()
        if wanted and known:
            self._selector.modify(sock, wanted, None)
        elif wanted:
            self._selector.register(sock, wanted, None)
        elif known:
            self._selector.unregister(sock)

    def _move(self, side):
        """True when the connection has ended."""
        if side.source.fileno() < 0 or side.path in self._stalled:
            return False
        try:
            if not side.waiting:
                side.waiting = side.source.recv(CHUNK)
                if not side.waiting:
                    return True
        except BlockingIOError:
            return False
        except OSError:
            return True
        if side.path in self._swallowed or side.sink.fileno() < 0:
            side.waiting = b""
            return False
        try:
            side.waiting = side.waiting[side.sink.send(side.waiting):]
        except BlockingIOError:
            pass
        except OSError:
            return True
        return False
