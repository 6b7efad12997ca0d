"""Sends five tasks and waits for their results."""

from uuid import uuid4

import testrium
from tasks import resize


def main() -> None:
    me = testrium.unit()
    waiting = []
    for image in range(1, 6):
        # The first probe: a Send says that a message leaves this unit. Emit it before you send,
        # under the key that the worker will see: here the id of the task.
        key = str(uuid4())
        me.send("sent", key=key)
        waiting.append(resize.apply_async((image,), task_id=key))
    for image, result in enumerate(waiting, start=1):
        assert result.get(timeout=20) == f"image {image} resized"
        me.receive("answered", key=result.id)
