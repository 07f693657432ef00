"""kazoo, for comparison: kazoo_client.py PORT OP PATH N [WINDOW [quantiles]]

N times OP (get, exists, set, children, create) of PATH, one after the other or WINDOW in flight, of which the first
N/10 don't count. Prints one line, as bench.h says."""
import collections
import json
import resource
import sys
import time

from kazoo.client import KazooClient

VALUE = b"y" * 100


def cpu():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def peak_kib():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def main():
    port, op, path, n = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
    window = int(sys.argv[5]) if len(sys.argv) > 5 else 1
    laps = [] if len(sys.argv) > 6 and sys.argv[6] == "quantiles" and window == 1 else None
    client = KazooClient(hosts="127.0.0.1:" + port, timeout=30)
    client.start()
    calls = {
        "get": (client.get, client.get_async, (path,), {}),
        "exists": (client.exists, client.exists_async, (path,), {}),
        "set": (client.set, client.set_async, (path, VALUE), {}),
        "children": (client.get_children, client.get_children_async, (path,), {}),
        "create": (client.create, client.create_async, (path, VALUE), {"ephemeral": True, "sequence": True}),
    }
    wait, post, args, named = calls[op]
    wait(*args, **named)
    if window > 1:
        # The oldest answer is waited for before the next request, so that there are always as many under way.
        pending = collections.deque(post(*args, **named) for _ in range(window))
        for _ in range(n // 10):
            pending.popleft().get()
            pending.append(post(*args, **named))
    cpu_before, before = cpu(), time.perf_counter()
    if window > 1:
        for _ in range(n):
            pending.popleft().get()
            pending.append(post(*args, **named))
    elif laps is None:
        for _ in range(n):
            wait(*args, **named)
    else:
        last = before
        for _ in range(n):
            wait(*args, **named)
            now = time.perf_counter()
            laps.append(now - last)
            last = now
    wall, used = time.perf_counter() - before, cpu() - cpu_before
    line = {
        "n": n,
        "window": window,
        "wall_us": wall / n * 1e6,
        "cpu_us": used / n * 1e6,
        "peak_kib": peak_kib(),
    }
    if laps:
        laps.sort()
        line["quantiles"] = [round(1e6 * laps[int((1 - 10 ** (-i / 10)) * n)], 2) for i in range(41)]
    print(json.dumps(line))
    client.stop()


main()
