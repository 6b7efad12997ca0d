"""An application of Celery, as its documentation has it."""

import os

from celery import Celery

broker = os.environ.get("BROKER", "redis://127.0.0.1:6379")
app = Celery("tasks", broker=f"{broker}/0", backend=f"{broker}/1")


@app.task
def add(one, other):
    return one + other


def work():
    """Be a worker, as `celery --app tasks worker` is."""
    app.worker_main(["worker", "--pool=solo", "--loglevel=INFO", "--without-mingle"])
