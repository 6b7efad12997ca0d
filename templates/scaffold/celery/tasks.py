"""The tasks, and probes for all of them: the class of every task emits them."""

import os
from typing import Any

import testrium
from celery import Celery, Task

REDIS = f"redis://127.0.0.1:{os.environ['TESTRIUM_PORT_REDIS_TCP']}"

# Outside of a run probes do nothing: they may stay in production code.
me = testrium.unit()


class ProbedTask(Task):  # type: ignore[misc]
    """Emits a probe before and after each task, under the id that Celery gives it."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        # The key is that id, because it travels with the message anyway.
        me.receive("started", key=self.request.id)
        result = super().__call__(*args, **kwargs)
        # A Send comes before its effect: Celery stores the result after this method.
        me.send("finished", key=self.request.id)
        return result


app = Celery("tasks", broker=f"{REDIS}/0", backend=f"{REDIS}/1", task_cls=ProbedTask)


@app.task
def resize(image: int) -> str:
    return f"image {image} resized"


def main() -> None:
    options = ["--concurrency", "2", "--without-mingle", "--without-gossip", "--loglevel", "INFO"]
    app.worker_main(["worker", *options])
