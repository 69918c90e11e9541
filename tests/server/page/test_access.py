"""Accessibility of the page: light and dark, on a phone, by keyboard, with a screen reader."""

import pytest


@pytest.mark.parametrize(
    "window",
    [{}, {"color_scheme": "dark"}, {"viewport": {"width": 360, "height": 740}, "has_touch": True}],
    ids=["light", "dark", "phone"],
)
def test_the_page_is_accessible_and_fits_the_window(visit, two_fakes, window):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with visit(*two_fakes, window=window) as visitor:
        visitor.field("two").check()
        visitor.synthesize("Done: 2 of 2 models.")
        visitor.settings()
        for details in visitor.page.get_by_text("Details", exact=True).all():
            details.click()
        violations = axe.run(visitor.page).response["violations"]
        assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in violations] == []
        assert visitor.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_the_page_can_be_used_by_keyboard(visit, fake):
    with visit(fake) as visitor:
        visitor.expect(visitor.field("fake")).to_be_checked()
        visitor.expect(visitor.clip("Original")).to_be_visible()
        reached = []
        for _ in range(12):
            visitor.page.keyboard.press("Tab")
            reached.append(visitor.page.evaluate("document.activeElement.id || document.activeElement.innerText"))
            if reached[-1] == "speak":
                break
        assert reached == ["file", "English", "Russian", "model-0", "Details", "Settings", "speak"]
        visitor.page.keyboard.press("Enter")
        visitor.expect(visitor.page.get_by_role("status")).to_have_text("Done: 1 of 1 model.")
