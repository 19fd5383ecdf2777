# Makefile of plshard.  "make demo" and "make test" work on a fresh machine:
# they install what is missing first, so nothing below them may need
# pg_config before that has happened.

MODULE_big = plshard
EXTENSION = plshard
DATA = plshard--0.1.0.sql

SOURCES = $(wildcard $(srcdir_here)src/*.c)
srcdir_here = $(dir $(firstword $(MAKEFILE_LIST)))
OBJS = $(patsubst $(srcdir_here)%.c,%.o,$(SOURCES)) parser/gram.o parser/scan.o

PG_CONFIG ?= pg_config
PG_CPPFLAGS = -I$(srcdir_here)src -I$(srcdir_here)parser -I$(shell $(PG_CONFIG) --includedir)
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-missing-field-initializers -Wno-cast-function-type -Wno-declaration-after-statement
SHLIB_LINK = $(shell $(PG_CONFIG) --libs >/dev/null 2>&1 && echo -lpq)

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)
