"""The exit codes, which scripts rely on; documented in ``docs/cli.md``. Wrong use is 2, click's own."""

#: done
OK = 0
#: something failed, or was refused
FAILED = 1
#: the filter matched no row
NOTHING = 3
#: ``status``: the app does not do its work
ILL = 4
#: Ctrl-C, or no answer to a question: 128 + SIGINT, as shells have it
INTERRUPTED = 130
