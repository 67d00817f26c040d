"""How long each part of a pass may take, in seconds. Pure; ``tests/test_pass_budget.py`` adds the parts up.

A trigger pass checks the runs of a workspace and then claims, and waits for no other workspace in between. A
monitor pass does so where it has freed a slot, by the list of its check alone.
There are two ways to the claim, and each fits into the work of a pass:

==========================================  =====================================
the list of active runs takes long          settling takes long
==========================================  =====================================
``LIST`` 145, settling goes on beside it    ``SETTLE`` 115, the list is there
``AFTER_LIST`` 15                           ``AFTER_LIST`` 15
\\                                           ``LIST_AGAIN`` 20, jobs beside it
``NEW_JOBS`` 5                              ``REVIVE`` 10
``CLAIM`` 50                                ``CLAIM`` 50
``SNAPSHOT`` 5                              ``SNAPSHOT`` 5
together 220                                together 215
==========================================  =====================================

No way is longer. A list that ends after ``SETTLE`` is ``AFTER_LIST`` old at most when the claim begins, so it
is fresh. One that fails is read again only if that took ``LIST_AGAIN`` at most. After a check that was cut
off without a list nothing is claimed. Jobs are looked up beside the check, which takes less time.

``WORK`` 220, ``RECORD`` 10 and ``ALERTING`` 45 make 275 of the ``INVOCATION``'s 280, and the host ends the
worker process after ``FUNCTION`` 300.
"""

#: ``functionTimeout`` in host.json. After it the host would kill the worker process and all that runs in it.
FUNCTION_SECONDS = 300.0

#: An invocation of any function.
INVOCATION_SECONDS = 280.0

#: How long the lease of a QUEUED entry lasts at least. Its message is sent again after that, and by then no
#: call of the invocation before can be under way any more.
SHORTEST_LEASE_SECONDS = FUNCTION_SECONDS

#: The work of a pass, with the snapshot before it.
WORK_SECONDS = 220.0

#: How often a workspace is looked at in a pass that has to wait for another one: no less often than by the
#: timers' usual schedules.
ROUND_SECONDS = 30.0

#: After this time of a pass such further rounds are cut off, so that they do not make the pass longer. What a
#: round has claimed by then is still sent.
ROUNDS_SECONDS = 210.0

#: What alerting reads before the work begins, so that the work is not held up.
SNAPSHOT_SECONDS = 5.0

#: Recording how a pass ended.
RECORD_SECONDS = 10.0

#: All alerts of a pass.
ALERTING_SECONDS = 45.0

#: A list of active runs with all its pages: 180 pages at 0.8 s hold 4,300 runs. A longer one is incomplete,
#: and nothing is claimed by it.
LIST_SECONDS = 145.0

#: How long settling waits for the list. It only saves calls: how long it is depends on other people's runs.
#: After this time runs are looked up one by one until the list is there.
FIRST_LIST_SECONDS = 30.0

#: Settling the runs of a workspace; the next pass goes on.
SETTLE_SECONDS = 115.0

#: Looking up runs that are listed: a sample, and ever more while some of them are over. Entries whose run was
#: not looked up by then are looked at by the list in the rest of ``SETTLE``.
SECOND_LOOKS_SECONDS = 45.0

#: What needs both the list and what was settled: runs that are missing, and runs that somebody repaired.
AFTER_LIST_SECONDS = 15.0

#: The whole check of a workspace's runs.
CHECK_SECONDS = LIST_SECONDS + AFTER_LIST_SECONDS

#: A list of active runs in place of one that failed or is out of date. Of a longer list a part is read, and
#: the newest runs, which come first, are added to the list that is out of date.
LIST_AGAIN_SECONDS = 20.0

#: Looking up the jobs that open entries name, while the runs are checked.
JOBS_SECONDS = 20.0

#: Looking up jobs that entries name since then.
NEW_JOBS_SECONDS = 5.0

#: Looking up repaired runs of a list that the check of the runs has not seen.
REVIVE_SECONDS = 10.0

#: The claim's transaction, and sending its messages.
CLAIM_SECONDS = 50.0

#: All that a claim by the list of the check needs.
FILL_BY_LIST_SECONDS = NEW_JOBS_SECONDS + CLAIM_SECONDS

#: All that a claim with a list of its own needs, as after the notification about one run.
FILL_SECONDS = LIST_AGAIN_SECONDS + REVIVE_SECONDS + CLAIM_SECONDS

#: How long a list may be used after its end without another look at the newest runs.
FRESH_SECONDS = 30.0

#: A call of Databricks with all its tries, pages and tokens, a list of active runs excepted.
OPERATION_SECONDS = 90.0

#: Looking a job up; a workspace that answers takes a second at most.
JOB_SECONDS = 15.0
