"""A server that knows no SQL: it takes any password, and answers every query with one row
of "1"s, of as many columns as a front's session asks for, or one."""

import socket
import struct
import threading

from protocol import (Closed, Stream, authentication, column, complete, data_row, message, parameter, ready,
                      row_description)


def columns_of(sql):
    """The columns of the set-up of a session: one for each of its settings, and six."""
    if b'set_config' in sql and sql.startswith(b'SELECT pg_catalog.current_setting'):
        return sql.count(b'set_config') + 6
    return 1 if sql.lstrip()[:6].upper() in (b'SELECT', b'VALUES') or sql.startswith(b'WITH') else 0


def answers(kind, sql):
    n = columns_of(sql)
    row = data_row([b'1'] * n) if n else b''
    tag = complete('SELECT 1' if n else sql.split(b' ')[0].rstrip(b';') or b'SET')
    columns = row_description([column('c%d' % i) for i in range(n)]) if n else message('n')
    if kind == 'Q':
        return (columns if n else b'') + row + tag + ready()
    return {'P': message('1'), 'B': message('2'), 'C': message('3'), 'D': columns, 'E': row + tag, 'S': ready()}.get(kind, b'')


def talk(sock):
    try:
        stream = Stream(sock)
        stream.startup()
        sock.sendall(authentication(3))
        stream.message()
        sock.sendall(authentication(0) + parameter('server_version', '15.0') + parameter('server_encoding', 'UTF8') +
                     parameter('client_encoding', 'UTF8') + message('K', struct.pack('!ii', 1, 1)) + ready())
        statements = {}
        sql = b''
        while True:
            kind, body = stream.message()
            if kind == 'P':
                name, sql = body.split(b'\0')[:2]
                statements[name] = sql
            elif kind == 'B':
                sql = statements.get(body.split(b'\0')[1], b'')
            elif kind == 'Q':
                sql = body[:-1]
            sock.sendall(answers(kind, sql))
    except (Closed, OSError):
        sock.close()


def connect():
    ours, theirs = socket.socketpair()
    threading.Thread(target=talk, args=(theirs,), daemon=True).start()
    return ours
