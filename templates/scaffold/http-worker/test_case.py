"""What the probes cannot tell: asked of the running service, when the circuit is complete."""

from wire import call


def test_every_result_is_kept() -> None:
    expected = {f"job-{number:02}": f"RESIZE IMAGE {number}" for number in range(1, 11)}
    assert call("/results") == expected
