"""Obeys t/lib/Kazoo.pm: a request is a line of JSON on standard input, an answer or an event one on standard output.

{"id", "on", "call", "args", "named", "keep", "aside"}: calls a method of (or reads an attribute of) the object named
"on"; with "keep" the result gets that name; with "aside" other requests are not held up by it. Answer: {"id", "result"} or
{"id", "error": class, "text"}. Bytes are {"hex"}, an object that has a name {"object"}, an ACL {"acl": [perms, scheme, id]},
and {"tell": name} is a function that reports its arguments: {"event": name, "args"}.
"""
import json
import logging
import os
import sys
import threading

import kazoo.client
import kazoo.security
from kazoo.security import ACL, Id

logging.disable(logging.CRITICAL)
objects = {"client": kazoo.client, "security": kazoo.security}
lock = threading.Lock()


def say(**line):
    with lock:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def told(value):
    """A value in a form that JSON has."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, ACL):
        return {"perms": value.perms, "scheme": value.id.scheme, "id": value.id.id}
    if isinstance(value, BaseException):
        return {"exception": type(value).__name__}
    if hasattr(value, "_asdict"):
        return {name: told(field) for name, field in value._asdict().items()}
    if isinstance(value, (list, tuple)):
        return [told(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return repr(value)


def reporter(name):
    def report(*args):
        say(event=name, args=told(args))

    return report


def meant(value):
    """What a value from JSON stands for."""
    if isinstance(value, list):
        return [meant(item) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "hex":
        return bytes.fromhex(content)
    if kind == "object":
        return objects[content]
    if kind == "tell":
        return reporter(content)
    perms, scheme, who = content
    return ACL(perms, Id(scheme, who))


def obey(request):
    try:
        member = getattr(objects[request["on"]], request["call"])
        if callable(member):
            named = {name: meant(value) for name, value in (request.get("named") or {}).items()}
            member = member(*meant(request.get("args") or []), **named)
        if request.get("keep"):
            objects[request["keep"]] = member
            member = None
        say(id=request["id"], result=told(member))
    except BaseException as error:
        say(id=request["id"], error=type(error).__name__, text=str(error))


for line in sys.stdin:
    request = json.loads(line)
    if request.get("aside"):
        threading.Thread(target=obey, args=(request,), daemon=True).start()
    else:
        obey(request)
os._exit(0)  # whatever still waits in a thread
