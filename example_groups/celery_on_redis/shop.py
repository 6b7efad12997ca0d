"""Queues tasks and waits for their results."""

from tasks import add


def main():
    results = [add.delay(number, number) for number in range(10)]
    assert [result.get(timeout=20) for result in results] == [2 * number for number in range(10)]
