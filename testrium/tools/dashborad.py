"""Old import path of a dashboard that needed Dash; `testrium serve` took its place."""

raise ImportError(
    "testrium.tools.dashborad is gone: the command `testrium serve` took its place, and"
    " `testrium report` makes pages (docs/reference/classic-api.md#what-is-different)"
)
