"""The frame of the console in a browser: login, navigation, live regions, times."""

from __future__ import annotations

from playwright.sync_api import expect

from kit.console.browser import Screen


def test_somebody_logs_in_and_out_by_keyboard_alone(screen: Screen) -> None:
    page = screen.open_path("/")
    assert page.url.endswith("/login?next=%2F")
    expect(page.locator("#name")).to_be_focused()
    page.keyboard.type("operator")
    page.keyboard.press("Tab")
    page.keyboard.type("operator-dev-only")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Overview")
    page.get_by_role("button", name="Log out").focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Log in")
    page.goto(f"{screen.base_url}/")
    expect(page.locator("h1")).to_have_text("Log in")


def test_a_wrong_login_is_said_and_read_aloud(screen: Screen) -> None:
    page = screen.open_path("/login")
    page.fill("#name", "operator")
    page.fill("#password", "wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("Name or password is wrong.")
    screen.problems.clear()  # the browser reports the status 403


def test_the_login_can_be_used_by_everybody(screen: Screen) -> None:
    page = screen.open_path("/login")
    assert screen.barriers() == []
    assert "operator-dev-only" in page.inner_text("main")


def test_the_content_is_one_key_away(screen: Screen) -> None:
    page = screen.log_in()
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_a_live_region_follows_within_two_seconds_and_keeps_the_focus(screen: Screen) -> None:
    page = screen.log_in()
    region = page.locator("[data-live]").first
    time = region.locator("time").first
    before = time.get_attribute("datetime")
    table = region.locator("[tabindex='0']").first
    if table.count():
        table.focus()
    expect(time).not_to_have_attribute("datetime", before or "", timeout=4_000)
    if table.count():
        expect(table).to_be_focused()


def test_updates_can_be_paused_and_go_on(screen: Screen) -> None:
    screen.page.clock.install()
    page = screen.log_in()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    button = page.get_by_role("button", name="Pause updates")
    with page.expect_response("**/"):
        page.clock.run_for(3_000)
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    asked.clear()
    page.clock.run_for(30_000)
    assert asked == []
    button.click()
    with page.expect_response("**/"):
        page.clock.run_for(3_000)


def test_times_are_in_the_readers_zone_with_the_exact_one_on_hover(screen: Screen) -> None:
    page = screen.log_in()
    time = page.locator("time").first
    exact = time.get_attribute("datetime")
    assert exact
    assert exact in (time.get_attribute("title") or "")
    expected = page.evaluate(
        "at => new Date(at).toLocaleTimeString('en-GB', {timeZone: 'Europe/Berlin'})", exact
    )
    assert time.inner_text() == expected


def test_a_login_that_ended_meanwhile_leads_to_the_login_page(screen: Screen) -> None:
    page = screen.log_in()
    page.context.clear_cookies()
    expect(page.locator("h1")).to_have_text("Log in", timeout=6_000)
    screen.problems.clear()  # the browser reports the status 401
