# Makefile of plshard.
#
#   make, make install, make installcheck    as with every extension (PGXS)
#   make test, make demo                     from nothing: they install what is
#                                            missing (apt-get) and work on a
#                                            private copy of PostgreSQL
#   make valgrind                            some of the tests under valgrind
#   make bench, make bench SHORT=1           the same for the benchmarks
#   make torture [SECONDS=600] [SEED=n]      writes and reads under random failures
#
# Tests are described in test/README.md.  pg_config may be missing when make test begins,
# so nothing outside the PGXS part below may depend on it.

MODULE_big = plshard
EXTENSION = plshard
DATA = plshard--0.1.0.sql

# "top" is where this file is: also right with make -f ../Makefile VPATH=..
top := $(dir $(firstword $(MAKEFILE_LIST)))
OBJS = $(patsubst $(top)%.c,%.o,$(sort $(wildcard $(top)src/*.c $(top)src/*/*.c))) parser/gram.o parser/scan.o

REGRESS = $(patsubst $(top)sql/%.sql,%,$(sort $(wildcard $(top)sql/*.sql)))
REGRESS_OPTS = --load-extension=plshard
ISOLATION = setup $(filter-out setup,$(patsubst $(top)test/specs/%.spec,%,$(sort $(wildcard $(top)test/specs/*.spec))))
ISOLATION_OPTS = --inputdir=$(top)test --load-extension=plshard
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl
EXTRA_CLEAN = $(OBJS:.o=.d) parser/gram.c parser/gram.h parser/scan.c

PG_CONFIG = pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

all:

# In a private copy of PostgreSQL and of this tree; T=... runs some of the tests.
.PHONY: test valgrind demo bench torture
test demo bench torture: export PG_CONFIG := $(PG_CONFIG)
test torture: export INJECTION = 1
test:
	@$(top)scripts/prepare test
	@$(top)scripts/sandbox test/run $(T)
valgrind:
	@$(top)scripts/prepare valgrind
	@$(top)scripts/sandbox test/valgrind $(T)
demo:
	@$(top)scripts/prepare
	@$(top)scripts/sandbox demo/run
bench:
	@$(top)scripts/prepare
	@$(top)bench/run $(if $(SHORT),--short)
torture:
	@$(top)scripts/prepare test
	@$(top)scripts/sandbox test/torture/run --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED))

ifneq ($(wildcard $(PGXS)),)

# PostgreSQL's headers are not ours to warn about: hence -isystem.
PG_CPPFLAGS = -I$(top)src -I$(top)parser -isystem $(shell $(PG_CONFIG) --includedir) -isystem $(shell $(PG_CONFIG) --includedir-server)
# Points at which tests end or stop a session (src/base/inject.h); never in a build to use.
ifdef INJECTION
PG_CPPFLAGS += -DPLSHARD_INJECTION
endif
# Callbacks and PG_FUNCTION_ARGS have fixed parameters, lengthof() is unsigned, and
# PostgreSQL's own flags ask for C89 declarations.
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-declaration-after-statement
SHLIB_LINK = -lpq
# JIT inlining cannot help functions that wait for a network, and would need a
# clang that fits PostgreSQL's LLVM.
override with_llvm = no

include $(PGXS)

# Each object file brings the list of headers it was made from, so that touching a
# header rebuilds what needs it (most packages of PostgreSQL do not do that).
%.o: %.c
	@$(MKDIR_P) $(@D)
	$(CC) $(CFLAGS) $(CPPFLAGS) -MMD -MP -c -o $@ $<

-include $(OBJS:.o=.d)

# In a VPATH build these are made in the build directory.
parser/gram.c: parser/gram.y
	@$(MKDIR_P) $(@D)
	$(BISON) -Wno-deprecated -d -o $@ $<

parser/gram.h: parser/gram.c ;

parser/scan.c: parser/scan.l
	@$(MKDIR_P) $(@D)
	$(FLEX) -o $@ $<

parser/gram.o parser/scan.o: parser/gram.h

else

all install uninstall installcheck clean:
	@echo >&2 'plshard: "$(PG_CONFIG)" does not know PGXS. Install the server headers'
	@echo >&2 '(Debian: postgresql-server-dev-NN and libkrb5-dev), or run scripts/prepare, or give PG_CONFIG=/path/to/pg_config'
	@exit 1

endif
