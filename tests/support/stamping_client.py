"""An NBD client that stamps blocks and remembers, of each, what it may hold now.

Every write has a number and fills its block with it. A write that was answered is what the block
holds from then on. One whose connection was lost may have happened or not: until a read shows which,
either is right; after that, only what was shown."""
import os
import random
import sys
import threading

try:
    import nbd
except ImportError:
    # Debian's python3 has the libnbd module, one before it in PATH may not: the test again, with that.
    if sys.executable == "/usr/bin/python3":
        raise
    os.execv("/usr/bin/python3", ["/usr/bin/python3", "-B", *sys.argv])

BLOCK = 4096
DISTANCE = 64 << 10  # between two blocks, so that they are spread over many regions
DEPTH = 8
ZEROES = bytes(BLOCK)


def stamp(number):
    return (b"%015d\n" % number) * 256


class Place:
    def __init__(self):
        self.known = ZEROES      # answered, or shown by a read
        self.possible = []       # contents whose fate is open
        self.busy = False

    def allowed(self):
        return [self.known, *self.possible]


class StampingClient(threading.Thread):
    """Writes where `go_to()` says, through one connection at a time, until it is told otherwise."""

    def __init__(self, places, seed, shift=0):
        """`shift`: so many blocks further in each stretch of DISTANCE, for a second client."""
        super().__init__(name="client", daemon=True)
        self.shift = shift
        self.places = [Place() for _ in range(places)]
        self.random = random.Random(seed)
        self.number = 0
        self.answered = 0
        self.open_fates = 0
        self.refused = 0
        self.wrong = None  # the first block that held what it must not
        self._changed = threading.Condition()
        self._uri = None
        self._idle = True
        self._ended = False
        self._in_flight = 0

    def offset(self, place):
        return place * DISTANCE + (place + self.shift) % (DISTANCE // BLOCK) * BLOCK

    # --- the test's thread ---

    def go_to(self, uri):
        with self._changed:
            self._uri = uri
            self._changed.notify_all()

    def pause(self, patience=45):
        """No connection and nothing in flight when it returns."""
        with self._changed:
            self._uri = None
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._idle, patience)

    def wait_answered(self, more, patience=45):
        with self._changed:
            goal = self.answered + more
            return self._changed.wait_for(lambda: self.wrong or self.answered >= goal, patience)

    def end(self):
        with self._changed:
            self._ended = True
            self._uri = None
            self._changed.notify_all()
        self.join()

    def check(self, number, content, where):
        """What a reader was shown decides what was open."""
        place = self.places[number]
        if content not in place.allowed():
            self.wrong = self.wrong or (
                f"block {number} at {self.offset(number)} {where} shows {content[:16]!r}, not "
                f"{' or '.join(repr(each[:16]) for each in place.allowed())}")
        place.known, place.possible = content, []

    def read_all(self, uri, where):
        """Every block, through a connection of its own; only while paused."""
        handle = nbd.NBD()
        handle.connect_uri(uri)
        for number in range(len(self.places)):
            self.check(number, bytes(handle.pread(BLOCK, self.offset(number))), where)
        handle.shutdown()

    # --- its own thread ---

    def run(self):
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._uri or self._ended)
                if self._ended:
                    return
                uri, self._idle = self._uri, False
            try:
                handle = nbd.NBD()
                handle.connect_uri(uri)
                self._work(handle, uri)
            except nbd.Error:
                with self._changed:  # nobody listens, or no longer
                    self._changed.wait_for(lambda: self._uri != uri or self._ended, 0.02)
            with self._changed:
                self._idle = True
                self._changed.notify_all()

    def _work(self, handle, uri):
        while not (handle.aio_is_dead() or handle.aio_is_closed()):
            leaving = self._uri != uri or self._ended or self.wrong
            while not leaving and self._in_flight < DEPTH:
                self._request(handle)
            if leaving and self._in_flight == 0:
                handle.shutdown()
                return
            handle.poll(50)
            if handle.aio_is_ready() is False and self._in_flight == 0:
                return

    def _request(self, handle):
        free = [n for n in self.random.sample(range(len(self.places)), 16)
                if not self.places[n].busy]
        if not free:
            return
        number = free[0]
        kind = self.random.random()
        place = self.places[number]
        if kind < 0.1:
            self._send(None, None, lambda: handle.aio_flush(completion=self._flushed))
        elif kind < 0.25:
            buffer = nbd.Buffer(BLOCK)
            done = lambda error: self._read(number, buffer, error)
            self._send(place, None,
                       lambda: handle.aio_pread(buffer, self.offset(number), completion=done))
        else:
            self._write(handle, number, ZEROES if kind < 0.33 else None)

    def _write(self, handle, number, content):
        self.number += 1
        content = content or stamp(self.number)
        fua = nbd.CMD_FLAG_FUA if self.random.random() < 0.1 else 0
        offset = self.offset(number)
        done = lambda error: self._written(number, content, error)
        if content is ZEROES:
            send = lambda: handle.aio_zero(BLOCK, offset, flags=fua, completion=done)
        else:
            buffer = nbd.Buffer.from_bytearray(bytearray(content))
            send = lambda: handle.aio_pwrite(buffer, offset, flags=fua, completion=done)
        self._send(self.places[number], content, send)

    def _send(self, place, content, send):
        """What libnbd does not take, because the connection has died meanwhile, was never asked."""
        self._in_flight += 1
        if place:
            place.busy = True
        if content:
            place.possible.append(content)
        try:
            send()
        except nbd.Error:
            self._in_flight -= 1
            if place:
                place.busy = False
            if content:
                place.possible.remove(content)
            raise

    def _finished(self):
        with self._changed:
            self._in_flight -= 1
            self.answered += 1
            self._changed.notify_all()
        return 1  # libnbd forgets the command

    def _flushed(self, _error):
        return self._finished()

    def _read(self, number, buffer, error):
        if error.value == 0:
            self.check(number, bytes(buffer.to_bytearray()), "in a read")
        self.places[number].busy = False
        return self._finished()

    def _written(self, number, content, error):
        place = self.places[number]
        if error.value == 0:
            place.known, place.possible = content, []
        else:
            self.open_fates += 1
        place.busy = False
        return self._finished()
