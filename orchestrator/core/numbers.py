"""Whole numbers: the bounds of ids and of 32-bit columns."""

#: Ids of rows, runs and jobs are signed 64-bit integers, in the API of Databricks and in both stores; other
#: whole numbers have 32 bits.
MAX_ID = 2**63 - 1
MAX_INT32 = 2**31 - 1
