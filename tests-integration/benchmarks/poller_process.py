"""A reader that asks all the while: prints how long each answer took, until it is told to stop."""

from __future__ import annotations

import sys
import threading
import time

import hmp_catalog

stop = threading.Event()
threading.Thread(target=lambda: (sys.stdin.readline(), stop.set()), daemon=True).start()
catalog = hmp_catalog.open(sys.argv[1])
catalog.find()
print("ready", flush=True)
waits = []
while not stop.is_set():
    began = time.perf_counter()
    catalog.find(status="completed")
    waits.append(time.perf_counter() - began)
    time.sleep(0.02)
print("\n".join(map(str, waits)))
