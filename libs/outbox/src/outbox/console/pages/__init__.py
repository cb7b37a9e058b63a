"""The pages. Each file has a `PAGE`; the order here is that of the navigation."""

from outbox.console.pages import overview

PAGES = (overview.PAGE,)
