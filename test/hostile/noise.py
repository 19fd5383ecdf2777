"""Conversations at random: answers whose framing is right, and nothing else need be.

All of one comes from a seed: the same seed and the same requests make the same answers.
"""

import random
import struct

import scenarios
from protocol import (column, complete, data_row, error, message, notice, parameter, ready, report,
                      row_description)

VALUES = (None, b'', b't', b'f', b'0', b'1', b'-1', b'2147483648', b'9' * 30, b'NaN', b'\0\0\0\1', b'\0' * 8,
          b'no number', b'{1,2}', b'2020-01-01', b'\xff\xfe', b'x' * 3000, b'plshard_node', b'"$user", public')
NAMES = ('', 'c', 'a', 'x', 'gid', '?column?', 'n' * 200)
TAGS = ('', 'SELECT 1', 'INSERT 0 1', 'UPDATE 7', 'BEGIN', 'COMMIT', 'ROLLBACK', 'PREPARE TRANSACTION', 'SET', 'x')
LONGEST = 60        # messages; then the connection ends


class Noise:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.left = self.random.randint(3, LONGEST)
        self.honesty = self.random.choice((0.3, 0.6, 0.9))

    def number(self):
        r = self.random
        return r.choice((0, 1, 1, 1, 2, 3, 5, 21, 22, r.randint(0, 40), r.choice((1664, 1665, 32768))))

    def columns(self, n):
        r = self.random
        return row_description([column(r.choice(NAMES), oid=r.choice((0, 16, 17, 20, 23, 25, 26, 1184, 4294967295)),
                                       fmt=r.choice((0, 0, 0, 1))) for _ in range(n)])

    def row(self, n):
        return data_row([self.random.choice(VALUES) for _ in range(n)])

    def any_error(self):
        r = self.random
        pairs = [pair for pair in report(r.choice(('ERROR', 'FATAL', 'PANIC')),
                                         r.choice(('22000', '57014', '57P01', 'XX000', '40001', '55P03', '00000', 'x')))
                 if r.random() < 0.8]
        return message('E', b''.join(k.encode() + v.encode() + b'\0' for k, v in pairs) + b'\0')

    def some(self):
        """One message of any type, or a few that belong together."""
        r = self.random
        n = self.number()
        return r.choice((
            lambda: self.columns(n),
            lambda: self.row(n),
            lambda: self.columns(n) + self.row(n) * r.choice((0, 1, 2)) + complete(r.choice(TAGS)),
            lambda: self.columns(n),
            lambda: complete(r.choice(TAGS)),
            lambda: ready(r.choice('ITEX')),
            self.any_error,
            lambda: notice(r.choice(('NOTICE', 'WARNING', None)), r.choice(('00000', None)), r.choice(('text', None))),
            lambda: parameter(r.choice(('client_encoding', 'DateStyle', 'x')), r.choice(('LATIN1', 'ISO, DMY', ''))),
            lambda: r.choice(list(scenarios.UNASKED.values()))))()

    def answer(self, kind):
        """What comes for a request of that kind; None: the end."""
        r = self.random
        self.left -= 1
        if self.left < 0:
            return None
        if r.random() > self.honesty:
            return b''.join(self.some() for _ in range(r.choice((0, 1, 1, 2))))
        if kind in 'SQ':
            return (self.some() if kind == 'Q' else b'') + ready()
        if kind == 'D':
            self.described = self.number()
            return r.choice((message('n'), self.columns(self.described)))
        if kind == 'E':
            n = getattr(self, 'described', 1)
            return self.row(n) * r.choice((0, 1, 1, 2)) + complete(r.choice(TAGS))
        return message({'P': '1', 'B': '2', 'C': '3'}.get(kind, '1'))
