"""Charts are drawn from the counts alone, and each says in numbers what it draws."""

from __future__ import annotations

import re

import pytest

from asyncflow.integrations.dashboard.pages import pages
from tests.integration.integrations.dashboard.browsing import browser, counted, dashboard_for, text_of
from tests.integration.integrations.dashboard.test_load import statements
from tests.support.application import Application


async def test_charts_of_all_and_of_one_type_are_drawn_and_told_and_look_at_no_task(
    sqlite_application: Application,
) -> None:
    counted(sqlite_application, "user.registered", sent=[10] * 120, failed=[0] * 119 + [3])
    counted(sqlite_application, "coupon.issued", done=[7] * 30)
    with statements(sqlite_application.engine) as seen:
        async with browser(dashboard_for(sqlite_application)) as client:
            for path in ("/charts", "/charts?span=3d"):
                page = await client.get(path)
                told = text_of(page)
                assert "sent 1,200" in told
                assert "done 210" in told
                assert "failed 3" in told
                assert page.text.count('class="chart"') == 3  # of all, and one for each type
            one = await client.get("/charts?type=coupon.issued")
            assert "done 210" in text_of(one)
            assert "sent" not in text_of(one)
            assert one.text.count('class="chart"') == 1
            assert "Nothing was counted" in text_of(await client.get("/charts?type=unknown"))
            assert (await client.get("/charts?span=9d")).status_code == 400
    assert seen
    assert not [one for one in seen if re.search(r"\basyncflow_task\b", one)]


async def test_a_chart_has_its_figures_as_a_table_that_adds_up(sqlite_application: Application) -> None:
    counted(sqlite_application, "user.registered", sent=[10] * 120)
    async with browser(dashboard_for(sqlite_application)) as client:
        page = await client.get("/charts")
    table = page.text.partition('id="figures"')[2].partition("</table>")[0]
    cells = [int(one.replace(",", "")) for one in re.findall(r'<td class="number">([\d,]+)</td>', table)]
    assert len(cells) == 8
    assert sum(cells) == 1200


async def test_now_tells_how_a_destination_flows_and_types_their_rate_and_failures(
    sqlite_application: Application,
) -> None:
    # Two minutes more than are looked at, so that every whole hour that ends by then is the same.
    counted(sqlite_application, "user.registered", ahead=2, sent=[60] * 62, failed=[1] * 62)
    with sqlite_application.session() as session, session.begin():
        for number in range(30):
            sqlite_application.outbox.publish(session, "user.registered", {"n": number})
    async with browser(dashboard_for(sqlite_application)) as client:
        now = await client.get("/")
        types = await client.get("/types")
    assert re.search(r"kafka closed 1 \d+ s 0\.5 1\.0", text_of(now)), text_of(now)
    assert 'aria-label="The last hour: 3,600; at most a minute 60"' in now.text
    assert re.search(r"user\.registered message 30 \d+ s 0 0 1\.0 failed 60", text_of(types)), text_of(types)


@pytest.mark.parametrize("path", [page.place.path for page in pages() if "{" not in page.place.path])
async def test_no_drawing_needs_a_style_that_the_policy_forbids(sqlite_application: Application, path: str) -> None:
    counted(sqlite_application, "user.registered", sent=[60] * 60)
    async with browser(dashboard_for(sqlite_application)) as client:
        page = await client.get(f"/{path}")
    assert not re.search(r"<[^>]*\sstyle=", page.text)
