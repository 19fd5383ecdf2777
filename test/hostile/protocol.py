"""Messages of PostgreSQL's frontend/backend protocol, version 3: reading them from a
socket, and building those of a server, right ones and wrong ones."""

import struct

CANCEL_REQUEST = 80877102
SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104


class Closed(Exception):
    """The other side has closed the connection."""


class Stream:
    """Buffered reading from a socket."""

    def __init__(self, sock):
        self.sock = sock
        self.buffer = bytearray()

    def take(self, length):
        while len(self.buffer) < length:
            try:
                some = self.sock.recv(65536)
            except TimeoutError:
                raise
            except OSError:
                some = b''
            if not some:
                raise Closed
            self.buffer += some
        taken = bytes(self.buffer[:length])
        del self.buffer[:length]
        return taken

    def startup(self):
        """The code and the body of a startup packet."""
        length, code = struct.unpack('!ii', self.take(8))
        return code, self.take(length - 8)

    def message(self):
        """The type, a letter, and the body of the next message."""
        kind, length = struct.unpack('!ci', self.take(5))
        return kind.decode('latin1'), self.take(length - 4)


def raw(kind, length, body=b''):
    """A message whose length need not be that of its body."""
    return kind.encode('latin1') + struct.pack('!I', length & 0xffffffff) + body


def message(kind, body=b''):
    return raw(kind, len(body) + 4, body)


def cstring(value):
    return (value if isinstance(value, bytes) else value.encode()) + b'\0'


def fields(pairs, end=b'\0'):
    """The body of an ErrorResponse or NoticeResponse; pairs are (letter, value)."""
    return b''.join(letter.encode() + cstring(value) for letter, value in pairs) + end


def report(severity='ERROR', sqlstate='22000', text='an error of the node', **more):
    """The pairs of a report as a server sends it; None leaves one out, more adds some."""
    pairs = [('S', severity), ('V', severity), ('C', sqlstate), ('M', text)]
    return [pair for pair in pairs if pair[1] is not None] + list(more.items())


def error(*args, **more):
    return message('E', fields(report(*args, **more)))


def notice(severity='NOTICE', sqlstate='00000', text='a notice of the node', **more):
    return message('N', fields(report(severity, sqlstate, text, **more)))


def column(name='c', table=0, number=0, oid=25, size=-1, typmod=-1, fmt=0):
    return cstring(name) + struct.pack('!IhIhih', table, number, oid, size, typmod, fmt)


def row_description(columns, count=None):
    count = len(columns) if count is None else count
    return message('T', struct.pack('!H', count & 0xffff) + b''.join(columns))


def columns_of(body):
    """The columns of a RowDescription's body, as (name, bytes, format)."""
    count, at, found = struct.unpack('!H', body[:2])[0], 2, []
    for _ in range(count):
        end = body.index(b'\0', at) + 19
        found.append((body[at:end - 19], body[at:end], struct.unpack('!h', body[end - 2:end])[0]))
        at = end
    return found


def value(data):
    """A value of a DataRow; None is NULL."""
    return struct.pack('!i', -1) if data is None else struct.pack('!i', len(data)) + data


def data_row(values, count=None):
    count = len(values) if count is None else count
    return message('D', struct.pack('!H', count & 0xffff) + b''.join(value(v) for v in values))


def values_of(body):
    """The values of a DataRow's body."""
    count, at, found = struct.unpack('!H', body[:2])[0], 2, []
    for _ in range(count):
        length = struct.unpack('!i', body[at:at + 4])[0]
        at += 4
        found.append(None if length < 0 else body[at:at + length])
        at += max(length, 0)
    return found


def complete(tag):
    return message('C', cstring(tag))


def ready(state='I'):
    return message('Z', state.encode('latin1'))


def parameter(name, setting):
    return message('S', cstring(name) + cstring(setting))


def notification(pid=1, channel='c', payload='p'):
    return message('A', struct.pack('!i', pid) + cstring(channel) + cstring(payload))


def authentication(code, rest=b''):
    return message('R', struct.pack('!i', code) + rest)


def copy_response(kind, count=1, formats=None):
    """CopyInResponse, CopyOutResponse or CopyBothResponse (G, H, W), binary."""
    formats = count if formats is None else formats
    return message(kind, struct.pack('!bh', 1, count) + struct.pack('!h', 1) * formats)
