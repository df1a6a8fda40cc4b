"""A process that appends to a sweep until it is killed: ``python -m tests.store.writer URL SWEEP [COUNT]``; prints every number."""

import sys
from itertools import count

from metasearch.core.event import Closed
from metasearch.store import Store

url, sweep, *limit = sys.argv[1:]
log = Store(url).open_log(sweep)
for number in count(log.facts) if not limit else range(log.facts, int(limit[0])):
    log.append([Closed(float(number), f"fact {number}")])
    print(number, flush=True)
