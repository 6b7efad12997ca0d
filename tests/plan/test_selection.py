"""Which groups are run."""

from __future__ import annotations

from pathlib import Path

import pytest

from testrium.declared.groups import Combination, Group
from testrium.errors import UsageError
from testrium.plan import Selection, select


def group(id_: str, *tags: str, title: str = "") -> Group:
    return Group(id_, Path("/project") / id_, (), tags=tags, title=title)


GROUPS = (
    group("checkout", "smoke"),
    group("shop/cart", "smoke", "slow", title="The cart keeps its items"),
    group("shop/search"),
    group("old/cart", "slow"),
)


@pytest.mark.parametrize(
    ("selection", "ids"),
    [
        (Selection(), ["checkout", "shop/cart", "shop/search", "old/cart"]),
        (Selection(less=("checkout",)), ["shop/cart", "shop/search", "old/cart"]),
        (Selection(less=("shop/cart", "search")), ["checkout", "old/cart"]),
        (Selection(less=("cart/",)), ["checkout", "shop/search"]),
        (Selection(less=("shop/*",)), ["checkout", "old/cart"]),
        (Selection(less=("c*",)), ["shop/search"]),
        (Selection(less=("project/old/cart",)), ["checkout", "shop/cart", "shop/search"]),
        (Selection(less=("/project/[os]*/cart",)), ["checkout", "shop/search"]),
        (Selection(tag="smoke and not slow"), ["checkout"]),
        (Selection(tag="nobody"), []),
        (Selection(grep="^shop/"), ["shop/cart", "shop/search"]),
        (Selection(grep="keeps"), ["shop/cart"]),
        (Selection(less=("shop/cart",), tag="slow", grep="cart"), ["old/cart"]),
    ],
)
def test_select(selection: Selection, ids: list[str]) -> None:
    assert [each.id for each in select(GROUPS, selection)] == ids


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(less=("chekout",)), "--less chekout: no such group; did you mean 'checkout'?"),
        (Selection(less=("zzz",)), "--less zzz: no such group"),
        (Selection(less=("zzz*",)), "--less zzz*: no such group"),
        (Selection(less=("",)), "--less : no such group"),
        (Selection(less=(".",)), "--less .: no such group"),
        (Selection(tag="a b"), "--tag 'a b', column 3: 'and' or 'or' expected"),
        (
            Selection(grep="("),
            (
                "--grep '(': invalid regular expression: missing ), unterminated subpattern"
                " at position 0"
            ),
        ),
    ],
)
def test_what_cannot_be_understood(selection: Selection, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        select(GROUPS, selection)
    assert str(caught.value) == message


MATRIX = Group(
    "m",
    Path("/project/m"),
    (),
    title="Sizes",
    matrix=(
        Combination({"size": "1"}),
        Combination({"size": "2"}),
        Combination({"size": "3"}, primary=False),
    ),
)


@pytest.mark.parametrize(
    ("selection", "sizes"),
    [
        (Selection(), "12"),
        (Selection(all_modes=True), "123"),
        (Selection(less=("m[size=1]",)), "2"),
        (Selection(grep=r"size=1\]"), "1"),
        (Selection(grep="Sizes", all_modes=True), "123"),
        (Selection(grep="size=3"), ""),
        (Selection(less=("m",)), ""),
    ],
)
def test_select_combinations(selection: Selection, sizes: str) -> None:
    left = [each for group in select([MATRIX], selection) for each in group.matrix]
    assert "".join(each.params["size"] for each in left) == sizes
