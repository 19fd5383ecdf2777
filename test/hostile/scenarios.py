"""What a hostile server does, one row a scenario.

A row is SCENARIO(name, at, make, after, expect, states):

at      the moment: the first message of that type in the answer to a request ("T",
        "D", "C", "Z", "n", "1", "2"), or "any", the first of its answer whatever its
        type.  "^" and a type is the same while a connection is made, and "^" alone is
        the startup packet.  Whoever arms a scenario says how many such moments pass,
        and may choose another moment.
make    bytes for the client, made of the honest message, which they replace
after   "go"      the rest of the answer passes
        "answer"  the rest of this statement's answer is dropped; while a connection is made,
                  all messages of this type
        "sync"    all is dropped until ReadyForQuery, which passes
        "close"   the connection is closed
        "silent"  nothing comes any more, and the connection stays
        "dribble" all that follows, this included, comes byte by byte
expect  "right"   no harm: the call's result is the right one
        "error"   an error, unless the front gets the right result elsewhere, or the answer
                  was that to a ROLLBACK or a Sync
        "any"     an error or the right result
        "lie"     well-formed, only untrue: whatever comes of it, the front lives
states  a pattern of the SQLSTATEs that an error may have
"""

import struct
from collections import namedtuple

from protocol import (authentication, column, columns_of, complete, copy_response, cstring,
                      data_row, error, fields, message, notice, notification, parameter, raw,
                      ready, report, row_description, value, values_of)

Scenario = namedtuple('Scenario', 'name at make after expect states')
Message = namedtuple('Message', 'kind body')

PROTOCOL = '08...'              # a message that is none, or not of this place
DATA = '08...|2....|42804|XX001'        # a value that is none; XX001: replicas differ
LIE = DATA + '|0A000|21000|3F000|40P01|42501|42601|42704|42710|53...|55...|P0...'

BAD = b'\xff\xfe caf\xe9 \x80'
SCENARIOS = {}


def row(name, at, make, after='go', expect='any', states=PROTOCOL):
    assert name not in SCENARIOS, name
    SCENARIOS[name] = Scenario(name, at, make if callable(make) else lambda m: make, after, expect, states)


def honest(m):
    return message(m.kind, m.body)


def before(some):
    """Something comes before the honest message."""
    return lambda m: some + honest(m)


def behind(some):
    return lambda m: honest(m) + some


#
# ErrorResponse
#
# A call may be made again; on a new connection where the error is none.
AGAIN = ('names as of plshard', 'a cancel', 'an internal error', 'no fields', 'no sqlstate', 'only unknown fields')
ALL_BAD = [(letter, BAD) for letter in 'MDHPpqWstcdnFLR']
for name, pairs, states in (
        ('no fields', [], PROTOCOL),
        ('no message', report(text=None), '22000|08...'),
        ('no sqlstate', report(sqlstate=None), PROTOCOL),
        ('no severity', report(severity=None), '22000|08...'),
        ('only unknown fields', [('x', 'a'), ('y', 'b')], PROTOCOL),
        ('a short sqlstate', report(sqlstate='22'), PROTOCOL),
        ('a long sqlstate', report(sqlstate='22' * 500), PROTOCOL),
        ('an empty sqlstate', report(sqlstate=''), PROTOCOL),
        ('the sqlstate of success', report(sqlstate='00000'), PROTOCOL),
        ('the sqlstate of a warning', report(sqlstate='01000'), PROTOCOL),
        ('the sqlstate of no data', report(sqlstate='02000'), PROTOCOL),
        ('a sqlstate of odd bytes', report(sqlstate=b"\xff'\x01 %"), PROTOCOL),
        ('an empty message', report(text=''), '22000|08...'),
        ('a message in no encoding', report(text=BAD), '22000|08...'),
        ('all fields in no encoding', report() + ALL_BAD, '22000|08...'),
        ('a message of 5 MB', report(text=b'x' * 5000000), '22000|08...'),
        ('a context of 5 MB', report(W=b'line\n' * 1000000), '22000|08...'),
        ('a thousand messages', report() + [('M', 'again')] * 1000, '22000|08...'),
        ('a detail of format characters', report(text='%s%n%d', D='%n%n%s', H='%s%*d'), '22000|08...'),
        ('control characters', report(text=b'a\x01\x02\x1b[31m\r\n\tb'), '22000|08...'),
        ('positions that are none', report(P='99999999999999999999', p='-5', q='SELECT'), '22000|08...'),
        ('a negative position', report(P='-1', q=''), '22000|08...'),
        ('names as of plshard', report(sqlstate='23514', s='plshard_node', d='shard_lock', R='domain_check'), '23514|08...'),
        ('long names', report(s='s' * 5000, t='t' * 5000, c='c' * 5000, d='d' * 5000, n='n' * 5000), '22000|08...'),
        ('a cancel', report(sqlstate='57014', text='canceling statement due to user request'), '57014|08...'),
        ('a severity that is none', report(severity='NOTHING'), '22000|08...'),
        ('the severity of a log entry', report(severity='LOG'), '22000|08...'),
        ('an internal error', report(sqlstate='XX000'), 'XX000|08...')):
    row('error: ' + name, 'any', message('E', fields(pairs)), 'sync', 'any' if name in AGAIN else 'error', states)
row('error: no end of its fields', 'any', message('E', fields(report(), end=b'')), 'sync', states='22000|57014|08...')
row('error: an empty body', 'any', message('E'), 'sync', states='57014|08...')
row('error: half a field', 'any', message('E', b'SERROR\0C220'), 'sync', states='57014|08...')
row('error: twice', 'any', error() + error(), 'sync', 'error', states='22000|08...')
row('error: behind the command', 'C', behind(error()), 'sync', states='22000|08...')
row('error: before the end', 'Z', before(error()), states='22000|08...')
row('error: behind the end', 'Z', behind(error()), expect='any', states='22000|08...')
row('error: between rows', 'D', behind(error()), 'sync', states='22000|08...')

FATAL_STATES = '57P..|08...'
for name, pairs in (
        ('as it should be', report('FATAL', '57P01', 'terminating connection')),
        ('no message', report('FATAL', '57P01', None)),
        ('no sqlstate', report('FATAL', None, 'terminating connection')),
        ('only its severity', [('V', 'FATAL')]),
        ('only the severity for people', [('S', 'FATAL')]),
        ('a message in no encoding', report('FATAL', '57P01', BAD)),
        ('a message of 5 MB', report('FATAL', '57P01', b'x' * 5000000))):
    row('fatal: ' + name, 'any', message('E', fields(pairs)), 'close', states=FATAL_STATES)
row('fatal: and then it goes on', 'any', before(error('FATAL', '57P01', None)), states=FATAL_STATES)
row('fatal: and then silence', 'any', error('FATAL', '57P01', None), 'silent', states='57014|' + FATAL_STATES)
row('fatal: behind the end', 'Z', behind(error('FATAL', '57P01', None)), 'close', 'any', FATAL_STATES)
row('panic: no message', 'any', error('PANIC', 'XX000', None), 'close', states='XX000|08...')

#
# NoticeResponse
#
for name, pairs in (
        ('no fields', []),
        ('no message', report('NOTICE', '00000', None)),
        ('no sqlstate', report('NOTICE', None, 'a notice')),
        ('no severity', report(None, '00000', 'a notice')),
        ('an empty message', report('WARNING', '01000', '')),
        ('a message in no encoding', report('WARNING', '01000', BAD)),
        ('all fields in no encoding', report('WARNING', '01000') + ALL_BAD),
        ('a message of 5 MB', report('WARNING', '01000', b'x' * 5000000)),
        ('a severity that is none', report('NOTHING', '00000')),
        ('the severity of an error', report('ERROR', '22000')),
        ('the severity of the end', report('PANIC', '57P01')),
        ('format characters', report('WARNING', '01000', '%s%n%d', D='%n', H='%s')),
        ('as from the wait for a standby', [('R', 'SyncRepWaitForLSN')])):
    row('notice: ' + name, 'any', before(message('N', fields(pairs))), expect='any')
row('notice: no end of its fields', 'any', before(message('N', fields(report(), end=b''))), expect='any', states='57014|08...')
row('notice: an empty body', 'any', before(message('N')), expect='any', states='57014|08...')
row('notice: 100,000 of them', 'any', before(notice() * 100000), expect='any')
row('notice: behind the end', 'Z', behind(notice('WARNING', '01000')), expect='any')
row('notice: before every row', 'D', before(notice('WARNING', None, None)), expect='any')

#
# RowDescription, and answers of another shape
#


def shape(ncolumns, nrows, data=b'1'):
    """An answer of that many columns and rows, which fit each other."""
    def make(m):
        return (row_description([column('c%d' % i) for i in range(ncolumns)]) +
                data_row([data] * ncolumns) * nrows + complete('SELECT %d' % nrows))
    return make


def answer(change, nrows=1):
    """The columns that are right, and rows of such values: change(i, format)."""
    def make(m):
        columns = columns_of(m.body)
        return (honest(m) + data_row([change(i, c[2]) for i, c in enumerate(columns)]) * nrows +
                complete('SELECT %d' % nrows))
    return make


def all_values(data, binary=None):
    return answer(lambda i, fmt: binary if fmt and binary is not None else data)


def narrow(by):
    """The right columns, but one less, or more."""
    def make(m):
        columns = [c[1] for c in columns_of(m.body)]
        columns = columns[:by] if by < 0 else columns + [column('more')] * by
        return row_description(columns) + data_row([b'1'] * len(columns)) + complete('SELECT 1')
    return make


for n in (0, 1, 2, 3, 1600, 1664, 1665, 2000, 32767, 32768, 40000, 65535):
    row('columns: %d of them' % n, 'T', shape(n, 1), 'answer', 'lie' if n == 1 else 'any', LIE if n == 1 else DATA)
row('columns: 1664, no row', 'T', shape(1664, 0), 'answer', 'any', DATA)
row('columns: 40000, no row', 'T', shape(40000, 0), 'answer', 'any', DATA)
row('columns: one less', 'T', narrow(-1), 'answer', 'any', DATA)
row('columns: one more', 'T', narrow(1), 'answer', 'any', DATA)
row('columns: no row', 'T', lambda m: honest(m) + complete('SELECT 0'), 'answer', 'lie', LIE)
row('columns: the number alone is 0', 'T', row_description([], 0))
row('columns: the number alone is -1', 'T', lambda m: message('T', b'\xff\xff' + m.body[2:]))
row('columns: the number alone is 32767', 'T', lambda m: message('T', b'\x7f\xff' + m.body[2:]))
row('columns: the number alone is one less', 'T', lambda m: row_description([c[1] for c in columns_of(m.body)], len(columns_of(m.body)) - 1))
row('columns: half a description', 'T', lambda m: message('T', m.body[:len(m.body) // 2]))
row('columns: an empty description', 'T', message('T'))
row('columns: described twice', 'T', lambda m: honest(m) * 2, expect='any')
row('columns: described again', 'D', lambda m: honest(m) + row_description([column('again')]), expect='any', states=DATA)
row('columns: where none are expected', 'n', shape(3, 2), 'answer', 'any', DATA)
row('columns: none where some are expected', 'T', message('n'))
row('columns: a command instead', 'T', complete('SELECT 1'), 'answer', 'any', DATA)
row('columns: nothing instead', 'T', b'', 'answer')
row('columns: names in no encoding', 'T',
    lambda m: row_description([column(BAD)] * len(columns_of(m.body))), expect='any', states=DATA)
row('columns: long names', 'T',
    lambda m: row_description([column('n' * 20000)] * len(columns_of(m.body))), expect='any', states=DATA)
row('columns: empty names', 'T', lambda m: row_description([column('')] * len(columns_of(m.body))), expect='any', states=DATA)
for name, oid in (('no type', 0), ('a type that is not', 4294967295), ('a pseudo type', 2276), ('another type', 17)):
    row('columns: ' + name, 'T',
        lambda m, oid=oid: row_description([column(c[0], oid=oid, fmt=c[2]) for c in columns_of(m.body)]),
        expect='any', states=DATA)
row('columns: binary where text is expected', 'T',
    lambda m: row_description([column(c[0], oid=20, fmt=1) for c in columns_of(m.body)]), expect='any', states=DATA)
row('columns: a format that is none', 'T',
    lambda m: row_description([column(c[0], fmt=7) for c in columns_of(m.body)]), expect='any', states=DATA)
row('columns: sizes that are none', 'T',
    lambda m: row_description([column(c[0], size=-32768, typmod=-2147483648, number=-32768, table=4294967295, fmt=c[2])
                               for c in columns_of(m.body)]), expect='any', states=DATA)

#
# Rows and values
#
row('values: all NULL', 'T', all_values(None), 'answer', 'lie', LIE)
row('values: text that is no number', 'T', all_values(b'no number'), 'answer', 'lie', LIE)
row('values: empty', 'T', all_values(b''), 'answer', 'lie', LIE)
row('values: huge numbers', 'T', all_values(b'9' * 400), 'answer', 'lie', LIE)
row('values: numbers just too large', 'T', all_values(b'9223372036854775808'), 'answer', 'lie', LIE)
row('values: negative numbers', 'T', all_values(b'-1', b'\xff\xff\xff\xff'), 'answer', 'lie', LIE)
row('values: the smallest number', 'T', all_values(b'-9223372036854775808', b'\x80' + b'\0' * 7), 'answer', 'lie', LIE)
row('values: NaN', 'T', all_values(b'NaN', b'\x7f\xf8' + b'\0' * 6), 'answer', 'lie', LIE)
row('values: infinity', 'T', all_values(b'infinity', b'\x7f\xf0' + b'\0' * 6), 'answer', 'lie', LIE)
row('values: in no encoding', 'T', all_values(BAD), 'answer', 'lie', LIE)
row('values: bytes of zero', 'T', all_values(b'1\0x\0', b'\0' * 3), 'answer', 'lie', LIE)
row('values: one byte where binary is expected', 'T', all_values(b'1', b'\x01'), 'answer', 'lie', LIE)
row('values: 1 MB each', 'T', all_values(b'1' * 1000000), 'answer', 'lie', LIE)
row('values: quotes', 'T', all_values(b"'; DROP TABLE t; --\\"), 'answer', 'lie', LIE)
row('values: a name as of plshard', 'T', all_values(b'plshard_00_00_00_0_0_0_0_0.0:1'), 'answer', 'lie', LIE)
row('rows: two', 'T', lambda m: answer(lambda i, fmt: b'\0\0\0\1' if fmt else b'1', 2)(m), 'answer', 'lie', LIE)
row('rows: 100,000', 'T', lambda m: answer(lambda i, fmt: b'\0\0\0\1' if fmt else b'1', 100000)(m), 'answer', 'lie', LIE)
row('rows: without a description', 'T', data_row([b'1']) + complete('SELECT 1'), 'answer')
row('rows: too few columns', 'D', lambda m: data_row(values_of(m.body)[:-1]))
row('rows: too many columns', 'D', lambda m: data_row(values_of(m.body) + [b'1']))
row('rows: no columns', 'D', data_row([]))
row('rows: a negative number of columns', 'D', lambda m: message('D', b'\xff\xff' + m.body[2:]))
row('rows: a number of columns alone', 'D', lambda m: message('D', m.body[:2]))
row('rows: an empty body', 'D', message('D'))
row('rows: a length below NULL', 'D', lambda m: message('D', m.body[:2] + struct.pack('!i', -2) + m.body[6:]))
row('rows: the smallest length', 'D', lambda m: message('D', m.body[:2] + struct.pack('!i', -2147483648) + m.body[6:]))
row('rows: the largest length', 'D', lambda m: message('D', m.body[:2] + struct.pack('!i', 2147483647) + m.body[6:]))
row('rows: a length that is one more', 'D',
    lambda m: message('D', m.body[:2] + struct.pack('!i', len(m.body) + 1) + m.body[6:]))
row('rows: bytes behind the last value', 'D', lambda m: message('D', m.body + b'more'))
row('rows: behind the command', 'C', lambda m: honest(m) + data_row([b'1']))

#
# CommandComplete
#
for name, tag in (('empty', ''), ('of another command', 'ROLLBACK'), ('of a SELECT without a number', 'SELECT'),
                  ('of a SELECT with a word', 'SELECT x'), ('of an INSERT with huge numbers', 'INSERT 0 ' + '9' * 60),
                  ('of an UPDATE with a negative number', 'UPDATE -1'), ('of a COPY', 'COPY 5'),
                  ('in no encoding', BAD), ('very long', 'SELECT ' + '1' * 20000), ('of format characters', '%s%n')):
    row('tag: ' + name, 'C', complete(tag), expect='lie', states='08...|40...' if tag == 'ROLLBACK' else '08...|XX001')
row('tag: longer than messages are', 'C', complete('SELECT ' + '1' * 40000))
row('tag: no end', 'C', message('C', b'SELECT 1'), states='57014|08...')
row('tag: missing', 'C', b'')
row('tag: twice', 'C', lambda m: honest(m) * 2, expect='any')
row('tag: and a second answer', 'C', lambda m: honest(m) + shape(1, 1)(m), expect='any', states=DATA)
row('tag: before the rows', 'D', before(complete('SELECT 1')), expect='any', states=DATA)

#
# ReadyForQuery
#
row('ready: before the answer', 'any', before(ready()))
row('ready: before the command', 'C', before(ready()))
row('ready: before the rows', 'D', before(ready()))
row('ready: instead of the answer', 'any', b'', 'sync')
row('ready: missing', 'Z', b'', expect='any', states='57014|08...')
row('ready: missing, and the end', 'Z', b'', 'close', 'any')
row('ready: twice', 'Z', lambda m: honest(m) * 2, expect='any')
row('ready: ten times', 'Z', lambda m: honest(m) * 10, expect='any')
for state in ('X', '\0', '\xff'):
    row('ready: in a state %r' % state, 'Z', ready(state), expect='any')
row('ready: in a failed transaction', 'Z', ready('E'), expect='any', states='08...|25P02')
row('ready: in a transaction', 'Z', ready('T'), expect='any')
row('ready: idle', 'Z', ready('I'), expect='any')
row('ready: no state', 'Z', message('Z'), expect='any', states='57014|08...')
row('ready: long', 'Z', message('Z', b'IIII'), expect='any')
row('ready: and an answer that nobody asked for', 'Z', lambda m: honest(m) + shape(1, 1)(m) + ready(), expect='any')

#
# ParameterStatus
#
for name, setting in (('client_encoding', 'SQL_ASCII'), ('client_encoding', 'LATIN1'), ('client_encoding', 'SJIS'),
                      ('client_encoding', 'nonsense'), ('DateStyle', 'SQL, DMY'), ('IntervalStyle', 'iso_8601'),
                      ('standard_conforming_strings', 'off'), ('integer_datetimes', 'off'), ('server_encoding', 'LATIN1'),
                      ('server_encoding', ''), ('server_version', '0'), ('server_version', 'nonsense'),
                      ('server_version', '99999999999.99'), ('TimeZone', 'nonsense'), ('is_superuser', 'on'),
                      ('session_authorization', 'nobody'), ('in_hot_standby', 'on'), ('', ''), ('x' * 20000, 'y')):
    row('parameter: %.30s is %.20s' % (name, setting), 'any', before(parameter(name, setting)), expect='any', states=DATA)
row('parameter: in no encoding', 'any', before(parameter(BAD, BAD)), expect='any')
row('parameter: no end', 'any', before(message('S', b'client_encoding\0UTF8')), expect='any', states='57014|08...')
row('parameter: an empty body', 'any', before(message('S')), expect='any', states='57014|08...')
row('parameter: 10,000 of them', 'any', before(b''.join(parameter('p%d' % i, 'v') for i in range(10000))), expect='any')
row('parameter: behind the end', 'Z', behind(parameter('client_encoding', 'SQL_ASCII')), expect='any', states=DATA)

#
# What nobody has asked for
#
UNASKED = {
    'CopyInResponse': copy_response('G'),
    'CopyOutResponse': copy_response('H'),
    'CopyBothResponse': copy_response('W'),
    'CopyOutResponse of -1 columns': copy_response('H', -1, 0),
    'CopyOutResponse of 32767 columns': copy_response('H', 32767),
    'CopyOutResponse of less formats': copy_response('H', 5, 2),
    'CopyData': message('d', b'1\t2\n'),
    'CopyDone': message('c'),
    'CopyFail': message('f', b'no\0'),
    'a whole COPY': copy_response('H') + message('d', b'1\n') + message('c') + complete('COPY 1'),
    'AuthenticationOk': authentication(0),
    'AuthenticationCleartextPassword': authentication(3),
    'AuthenticationMD5Password': authentication(5, b'salt'),
    'AuthenticationSASL': authentication(10, b'SCRAM-SHA-256\0\0'),
    'BackendKeyData': message('K', struct.pack('!ii', 1, 1)),
    'NegotiateProtocolVersion': message('v', struct.pack('!ii', 0, 0)),
    'FunctionCallResponse': message('V', value(b'1')),
    'PortalSuspended': message('s'),
    'EmptyQueryResponse': message('I'),
    'NoData': message('n'),
    'ParseComplete': message('1'),
    'BindComplete': message('2'),
    'CloseComplete': message('3'),
    'ParameterDescription': message('t', struct.pack('!h', 0)),
    'ParameterDescription of -1 parameters': message('t', struct.pack('!h', -1)),
}
for name, some in UNASKED.items():
    row('unasked: %s before' % name, 'any', before(some), expect='any', states='57014|08...|22P04')
    row('unasked: %s instead' % name, 'any', some, states='57014|08...|22P04', expect='any')
for name in ('CopyInResponse', 'CopyOutResponse', 'CopyBothResponse', 'a whole COPY', 'PortalSuspended', 'EmptyQueryResponse'):
    row('unasked: %s for a command' % name, 'C', UNASKED[name], expect='any', states='57014|08...|22P04')
row('unasked: NotificationResponse', 'any', before(notification()), expect='any')
row('unasked: NotificationResponse in no encoding', 'any', before(notification(-1, BAD, BAD)), expect='any')
row('unasked: NotificationResponse without an end', 'any', before(message('A', b'\0\0\0\1channel\0payload')), expect='any', states='57014|08...')
row('unasked: 100,000 NotificationResponses', 'any', before(notification() * 100000), expect='any')
for kind in ('?', '\0', '\xff', 'Q', 'X', 'p'):
    row('unknown: a message of type %r' % kind, 'any', before(message(kind, b'what')), expect='any')

#
# Lengths, halves, pauses
#
for name, length in (('0', 0), ('3', 3), ('-1', -1), ('the smallest', 0x80000000), ('the largest', 0x7fffffff), ('30001', 30001)):
    row('length: %s' % name, 'any', lambda m, length=length: raw(m.kind, length, m.body), 'close')
row('length: one less', 'any', lambda m: raw(m.kind, len(m.body) + 3, m.body), expect='any', states='57014|08...')
row('length: one more', 'any', lambda m: raw(m.kind, len(m.body) + 5, m.body), expect='any', states='57014|08...')
row('length: a description of 1 GB', 'T', lambda m: raw('T', 0x40000000, m.body), 'close')
row('length: a row of 1 GB', 'D', lambda m: raw('D', 0x40000000, m.body), 'close')
row('half: a message, and the end', 'any', lambda m: honest(m)[:-1], 'close')
row('half: a header, and the end', 'any', lambda m: honest(m)[:3], 'close')
row('half: a row, and the end', 'D', lambda m: honest(m)[:-1], 'close')
row('half: a message, and silence', 'any', lambda m: honest(m)[:-1], 'silent', states='57014|08...')
row('half: a row, and silence', 'D', lambda m: honest(m)[:-1], 'silent', states='57014|08...')
row('the end at once', 'any', b'', 'close')
row('the end behind the command', 'C', honest, 'close', 'any', states='08...|40003')
row('the end behind all', 'Z', honest, 'close', 'any')
row('silence', 'any', b'', 'silent', states='57014|08...')
row('byte by byte', 'any', honest, 'dribble', 'right')
row('another protocol', 'any', b'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n', 'close')
row('bytes of zero', 'any', b'\0' * 5000, 'close')
row('bytes of 255', 'any', b'\xff' * 5000, 'close')

#
# While the connection is made
#
CONNECT = '08...|28...|57P..|57014|53...|42501|2....'
OK = authentication(0)
WELCOME = OK + parameter('server_version', '15.0') + parameter('server_encoding', 'UTF8') + parameter('client_encoding', 'UTF8')
KEY = message('K', struct.pack('!ii', 1, 1))
for name, some in (
        ('an error without fields', message('E', fields([]))),
        ('an error without a message', error('FATAL', '28000', None)),
        ('an error in no encoding', message('E', fields(report('FATAL', '28000', BAD) + ALL_BAD))),
        ('an error of 20 kB', error('FATAL', '28000', 'x' * 20000)),
        ('an error of the old protocol', b'Eno such thing\n\0'),
        ('an error that looks like others', error('FATAL', '28000', 'a:  00000: b failed: c\n:  XXXXX: d')),
        ('a sqlstate of success', error('FATAL', '00000', 'no')),
        ('another protocol', b'HTTP/1.1 400 Bad Request\r\n\r\n'),
        ('no answer', b''),
        ('half an answer', OK[:4]),
        ('the end behind the welcome', WELCOME),
        ('the end before the end', WELCOME + KEY),
        ('an unknown authentication', authentication(99)),
        ('GSS', authentication(7)),
        ('GSS goes on', authentication(8, b'token')),
        ('SCRAM without a mechanism', authentication(10, b'\0')),
        ('an unknown mechanism', authentication(10, b'NOTHING\0\0')),
        ('half a mechanism', authentication(10, b'SCRAM')),
        ('SCRAM is at its end', authentication(12, b'v=x')),
        ('SCRAM goes on', authentication(11, b'r=x')),
        ('half a salt', authentication(5, b'sa')),
        ('ready before all', ready()),
        ('a notice in no encoding', message('N', fields(report('WARNING', '01000', BAD)))),
        ('a notice without fields', message('N', fields([]))),
        ('versions to negotiate', message('v', struct.pack('!ii', 0, 2000000000))),
        ('an unknown message', message('?', b'x'))):
    row('start: ' + name, '^', some, 'close', states=CONNECT)
row('start: silence', '^', b'', 'silent', states=CONNECT)
row('start: 10,000 notices', '^R', before(notice('WARNING', None, None) * 10000), expect='any', states=CONNECT)
row('start: 10,000 parameters', '^S', before(b''.join(parameter('p%d' % i, 'v') for i in range(10000))), expect='any', states=CONNECT)
row('start: no server_version', '^S', b'', 'answer', 'any', CONNECT)
row('start: server_version is 0', '^Z', before(parameter('server_version', '0')), expect='any', states=CONNECT)
row('start: server_version is -1', '^Z', before(parameter('server_version', '-1')), expect='any', states=CONNECT)
row('start: client_encoding is nonsense', '^Z', before(parameter('client_encoding', 'nonsense')), expect='any', states=CONNECT)
row('start: server_encoding is in none', '^Z', before(parameter('server_encoding', BAD)), expect='any', states=CONNECT)
row('start: no key', '^K', b'', expect='any', states=CONNECT)
row('start: half a key', '^K', message('K', b'\0\0'), expect='any', states=CONNECT)
row('start: ready with a failed transaction', '^Z', ready('E'), expect='any', states=CONNECT)
row('start: ready twice', '^Z', lambda m: honest(m) * 2, expect='any', states=CONNECT)
row('start: a notice behind it', '^Z', behind(message('N', fields(report('WARNING', '01000', BAD)))), expect='any', states=CONNECT)
row('start: the end behind it', '^Z', honest, 'close', 'any', CONNECT)
row('start: fatal behind it', '^Z', behind(error('FATAL', '57P01', None)), 'close', 'any', CONNECT)
row('start: byte by byte', '^R', honest, 'dribble', 'right')
