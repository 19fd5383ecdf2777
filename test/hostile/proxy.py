"""Stands between a front and a node, and passes on what both say, but for one answer:
that of the moment for which a scenario is armed.  A port without a node has a small
server behind it, which knows no SQL (tiny.py)."""

import os
import socket
import struct
import threading
from collections import Counter, deque

import tiny
from noise import Noise
from protocol import CANCEL_REQUEST, GSSENC_REQUEST, SSL_REQUEST, Closed, Stream, cstring, message
from scenarios import Message

# What ends the answer to a request; E ends all up to the next Sync.
ENDS = {'P': '1', 'B': '2', 'D': 'Tn', 'E': 'CIs', 'C': '3', 'S': 'Z', 'Q': 'Z', '^': 'Z'}
DRIBBLED = 500          # so many bytes of a message come one by one
IDLE = 0.4              # seconds without a request after which a conversation at random ends


class Armed:
    """A scenario, or a seed, for the moment that comes after some others like it."""

    def __init__(self, scenario=None, moment='any', skip=0, seed=None):
        self.scenario = scenario
        self.moment = moment
        self.skip = skip
        self.seed = seed
        self.struck = None          # what it has struck


class Port:
    """What is known of a port, under the lock: what is armed there, and the moments that have come."""

    def __init__(self, name, connect):
        self.name = name
        self.connect = connect
        self.lock = threading.Lock()
        self.armed = None
        self.moments = Counter()
        self.held = []              # sockets that end when nothing is armed any more

    def arm(self, armed):
        with self.lock:
            self.armed = armed
            self.moments.clear()

    def disarm(self):
        with self.lock:
            armed, self.armed = self.armed, None
            held, self.held = self.held, []
        for sock in held:
            shut(sock)
        return armed

    def strikes(self, moments, what):
        """The armed scenario, if this is its moment; counts the moments."""
        with self.lock:
            self.moments.update(moments)
            armed = self.armed
            if armed is None or armed.struck is not None or armed.moment not in moments:
                return None
            if armed.skip > 0:
                armed.skip -= 1
                return None
            armed.struck = what
            return armed


class Request:
    def __init__(self, kind, sql=''):
        self.kind = kind
        self.sql = sql
        self.seen = set()           # types of the messages that have come for it


def shut(sock):
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass


class Connection:
    def __init__(self, port, client):
        self.port = port
        self.client = client
        self.server = None
        self.lock = threading.Lock()
        self.requests = deque()
        self.statements = {}
        self.noise = None
        self.watch = None           # ends a conversation at random

    def run(self):
        try:
            stream = Stream(self.client)
            code, body = stream.startup()
            while code in (SSL_REQUEST, GSSENC_REQUEST):
                self.client.sendall(b'N')
                code, body = stream.startup()
            self.server = self.port.connect()
            self.server.sendall(struct.pack('!ii', len(body) + 8, code) + body)
            if code == CANCEL_REQUEST:
                self.server.recv(1)
                return
            armed = self.port.strikes({'^'}, 'the start')
            if armed and not self.strike_start(armed):
                return
            self.requests.append(Request('^'))
            threading.Thread(target=self.pass_answers, daemon=True).start()
            while True:
                kind, body = stream.message()
                self.note(kind, body)
                if self.noise:
                    self.make_noise()
                else:
                    self.server.sendall(message(kind, body))
        except (Closed, OSError, struct.error):
            pass
        finally:
            held = self.client in self.port.held and not self.noise
            for sock in (self.server,) if held else (self.server, self.client):
                if sock:
                    shut(sock)

    def note(self, kind, body):
        """Keeps in mind what has been asked."""
        sql = ''
        if kind == 'P':
            name, sql = body.split(b'\0')[:2]
            self.statements[name] = sql
        elif kind == 'B':
            sql = self.statements.get(body.split(b'\0')[1], b'')
            self.statements[None] = sql
        elif kind in 'DE':
            sql = self.statements.get(None, b'')
        elif kind == 'Q':
            sql = body[:-1]
        elif kind not in 'SC':
            return
        if isinstance(sql, bytes):
            sql = sql.decode('utf8', 'replace')
        with self.lock:
            self.requests.append(Request(kind, sql))

    def head(self, kind):
        """The request that a message of the server belongs to; takes it off where it ends."""
        with self.lock:
            request = self.requests[0] if self.requests else Request('?')
            if kind in 'NSA':
                return request
            if kind == 'E' and request.kind in 'PBDEC':
                while self.requests and self.requests[0].kind != 'S':
                    self.requests.popleft()
            elif kind in ENDS.get(request.kind, ''):
                self.requests.popleft()
            return request

    def pass_answers(self):
        try:
            stream = Stream(self.server)
            drop = ''               # types that end what is dropped
            drop_type = None
            dribble = False
            while True:
                kind, body = stream.message()
                request = self.head(kind)
                if drop_type == kind:
                    continue
                if drop:
                    if kind not in drop:
                        continue
                    passes = drop == 'Z'
                    drop = ''
                    if not passes:
                        continue
                moments = {kind} if kind not in request.seen else set()
                if not request.seen:
                    moments.add('any')
                request.seen.add(kind)
                if request.kind == '^':
                    moments = {'^' + moment for moment in moments}
                armed = self.port.strikes(moments, '%s %s: %s' % (request.kind, kind, request.sql))
                if armed is None:
                    self.send(message(kind, body), dribble)
                    continue
                if armed.seed is not None:
                    with self.lock:
                        self.noise = Noise(armed.seed)
                        self.requests.appendleft(request)
                    self.hold()
                    self.make_noise()
                    return
                after = armed.scenario.after
                dribble = dribble or after == 'dribble'
                self.send(armed.scenario.make(Message(kind, body)), dribble)
                if after == 'close':
                    shut(self.client)
                    return
                if after == 'silent':
                    self.hold()
                    return
                if after == 'answer' and request.kind == '^':
                    drop_type = kind
                elif after == 'answer' and kind not in 'CIsE':
                    drop = 'CIsE'
                elif after == 'sync':
                    drop = 'Z'
                    if kind == 'Z':
                        self.send(message(kind, body), dribble)
                        drop = ''
        except (Closed, OSError, struct.error, IndexError, ValueError):
            pass
        if self.noise is None and self.client not in self.port.held:
            shut(self.client)

    def strike_start(self, armed):
        """True if the conversation goes on."""
        if armed.seed is not None:
            self.noise = Noise(armed.seed)
            self.hold()
            return True
        self.send(armed.scenario.make(Message('R', b'\0\0\0\0')), False)
        if armed.scenario.after == 'silent':
            self.hold()
            return False
        if armed.scenario.after == 'close':
            # what it says must not be lost with the connection
            self.client.settimeout(IDLE)
            try:
                while self.client.recv(4096):
                    pass
            except OSError:
                pass
            return False
        return True

    def hold(self):
        with self.port.lock:
            if self.port.armed is None:
                shut(self.client)
            else:
                self.port.held.append(self.client)

    def make_noise(self):
        if self.watch:
            self.watch.cancel()
        self.watch = threading.Timer(IDLE, shut, (self.client,))
        self.watch.daemon = True
        self.watch.start()
        with self.lock:
            while self.requests:
                some = self.noise.answer(self.requests.popleft().kind)
                if some is None:
                    shut(self.client)
                    return
                self.client.sendall(some)

    def send(self, some, dribble):
        if not dribble:
            self.client.sendall(some)
            return
        for i in range(min(len(some), DRIBBLED)):
            self.client.sendall(some[i:i + 1])
        self.client.sendall(some[DRIBBLED:])


def node(directory, number):
    """Connects to a server's unix socket."""
    def connect():
        sock = socket.socket(socket.AF_UNIX)
        sock.connect('%s/.s.PGSQL.%s' % (directory, number))
        return sock
    return connect


def serve(port, directory, number):
    listener = socket.socket(socket.AF_UNIX)
    path = '%s/.s.PGSQL.%s' % (directory, number)
    listener.bind(path)
    os.chmod(path, 0o777)
    listener.listen(100)

    def accept():
        while True:
            client = listener.accept()[0]
            threading.Thread(target=Connection(port, client).run, daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
