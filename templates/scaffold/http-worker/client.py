"""Posts ten jobs, each under a key that identifies it on its whole way."""

import testrium
from wire import call


def main() -> None:
    me = testrium.unit()
    for number in range(1, 11):
        key, text = f"job-{number:02}", f"resize image {number}"
        # The first probe: a Send says that a message leaves this unit. Emit it before you send. The
        # key travels with the message, such as the number of an order.
        me.send("posted", key=key, text=text)
        call("/jobs", {"id": key, "text": text})
    # No pause, no polling: it waits for what another process has done.
    me.wait_for("api:stored", key="job-10", timeout=10)
    me.probe("finished")
