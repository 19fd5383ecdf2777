-- Fronts and nodes of different encodings: characters arrive, or the error names the one that
-- has none.  Three databases are each front and node of the others.
\getenv srcdir PG_ABS_SRCDIR
\set nodes :srcdir '/test/include/nodes.psql'
\i :nodes
\set objects :srcdir '/test/include/encodings.psql'
\set calls :srcdir '/test/include/encodings_calls.psql'
\set first :DBNAME
SET client_min_messages = warning;
DROP DATABASE IF EXISTS plshard_latin1 WITH (FORCE);
DROP DATABASE IF EXISTS plshard_ascii WITH (FORCE);
CREATE DATABASE plshard_latin1 TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C';
CREATE DATABASE plshard_ascii TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C';
\c plshard_node1
\i :objects
\c plshard_latin1
\i :objects
\c plshard_ascii
\i :objects

--
-- A front with UTF8
--
\c plshard_node1
\i :calls

--
-- A front with LATIN1
--
\c plshard_latin1
\i :calls
-- the encoding of the client is another matter
SET client_encoding = 'LATIN1';
SELECT octet_length(x), chars FROM there(:'utf8', chr(254));
SELECT octet_length(x[1]), octet_length(j::text) FROM there_json(:'utf8', ARRAY[chr(254)], to_jsonb(chr(254)));
SELECT octet_length(x[1]), octet_length(j::text) FROM there_json(:'utf8', ARRAY[chr(254)], to_jsonb(chr(254)));
RESET client_encoding;

--
-- A front without an encoding: bytes are what the node takes them for
--
\c plshard_ascii
\i :calls

\c :first
DROP DATABASE plshard_latin1 WITH (FORCE);
DROP DATABASE plshard_ascii WITH (FORCE);
