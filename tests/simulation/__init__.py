"""A search through everything that can happen to a pair of appliances made of the real rules (`sync.rules`).

Read `node.py` (what one appliance is here), `flows.py` (how events, effects and messages are joined, as in `sync.act`
and `sync.role_changes`), `search.py` (the search) and `healing.py` (does the pair always find back?).

The network is a growing set of letters: each may arrive never, once or again, in any order. Every time-out may fire at
any moment, and an appliance may restart after any durable step. What an operator or a user does has a budget
(`configurations.py`). `faults.py` plants bugs, each of which the search must find.

    make model                          every configuration, then every planted bug
    python -m tests.simulation NAME     one of them
"""
