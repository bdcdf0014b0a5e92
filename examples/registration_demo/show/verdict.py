"""The verdict: the reconciliation, for people."""

from __future__ import annotations

from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from examples.registration_demo.show.reconciliation import Reconciliation


def announce(console: Console, reconciliation: Reconciliation) -> None:
    """Print the table and what it proves, or what is off."""
    console.print()
    console.print(_table(reconciliation))
    for line in _lines(reconciliation):
        console.print(line, highlight=False, soft_wrap=True)


def _table(reconciliation: Reconciliation) -> Table:
    table = Table(box=SIMPLE_HEAD, title="read from the tables", title_justify="left", title_style="bold")
    table.add_column("")
    for column in ("users", "given", "lost", "twice", "unasked", "duplicates absorbed"):
        table.add_column(column, justify="right")
    for gifts in (*reconciliation.gifts, reconciliation.vouchers):
        faults = (len(gifts.lost), len(gifts.twice), len(gifts.strangers))
        table.add_row(
            gifts.name,
            f"{reconciliation.users:,}",
            f"{gifts.given:,}",
            *(f"[bold {'red' if count else 'green'}]{count:,}[/]" for count in faults),
            f"{gifts.absorbed:,}",
        )
    return table


def _lines(reconciliation: Reconciliation) -> Iterator[str]:
    faults = reconciliation.faults()
    if faults:
        yield "[bold red]✗ the numbers are off[/]"
        yield from (f"  [red]{fault}[/]" for fault in faults)
        return
    coupons, grants = (gifts.given for gifts in reconciliation.gifts)
    yield (
        f"[bold green]✓ {reconciliation.users:,} users = {coupons:,} coupons = {grants:,} points grants = "
        f"{reconciliation.vouchers.given:,} vouchers: 0 lost, 0 twice[/]"
    )
    yield f"  {_duplicates(reconciliation.absorbed)}"
    yield f"  {reconciliation.refused:,} double clicks were refused: the row rolled back, and its message with it"
    yield f"  {reconciliation.tasks.retries:,} retries were spent: a broker that is away costs a message none of them"


def _duplicates(absorbed: int) -> str:
    if absorbed == 0:
        return "0 deliveries were duplicates in this run"
    return f"{absorbed:,} deliveries were duplicates (kill, outage); the inbox absorbed each of them"
