"""Old import path of `testrium.classic.command`."""

from testrium.classic.command import (
    EXIT_CONFIG_ERROR,
    EXIT_FAILURE,
    EXIT_NO_TESTS,
    EXIT_SUCCESS,
    main,
    run_cli,
)

__all__ = ["EXIT_CONFIG_ERROR", "EXIT_FAILURE", "EXIT_NO_TESTS", "EXIT_SUCCESS", "main", "run_cli"]
