"""What PostgreSQL costs: attempts per second, round trips, WAL and bloat of results, and what a large table does to it.

Run ``python -m benchmarks.postgres``: it starts the server that the test extra brings on a unix socket, or takes one of
your own with ``--dsn`` (it makes databases there and drops them). The server is as durable as a real one (``fsync`` and
``synchronous_commit`` on) unless ``--volatile`` is given. Workers are processes. Client and server share the machine's
cores, so with more workers than half of them the figures say what the machine can do, not what the server can.
"""
