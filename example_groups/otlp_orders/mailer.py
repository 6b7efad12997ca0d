"""Sends a mail for each order in the queue, until it is stopped."""

import json
import os
import signal
import sys

import redis
import requests
from opentelemetry import propagate, trace

tracer = trace.get_tracer("mailer")


def send(mail: dict) -> None:
    print(f"mail for {mail['order']}", flush=True)
    requests.post(f"{os.environ['RECEIPTS_URL']}/receipts/{mail['order']}", timeout=10)


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that the last spans are sent
    queue = redis.Redis.from_url(os.environ["REDIS_URL"])
    print("waiting for mails", flush=True)
    while True:
        found = queue.blpop("mails", timeout=1)
        if found is None:
            continue
        mail = json.loads(found[1])
        with tracer.start_as_current_span("send mail", context=propagate.extract(mail["context"])):
            trace.get_current_span().set_attribute("order.id", mail["order"])
            send(mail)


if __name__ == "__main__":
    main()
