"""The page is for everybody: in light and dark, on a phone, by keyboard, by ear."""

import pytest


@pytest.mark.parametrize(
    "window",
    [{}, {"color_scheme": "dark"}, {"viewport": {"width": 360, "height": 740}, "has_touch": True}],
    ids=["light", "dark", "phone"],
)
def test_accessible_and_of_the_window_s_width(visit, two, window):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    with visit(*two, window=window) as person:
        person.field("two").check()
        person.speak("Done: 2 of 2 models.")
        person.settings()
        for details in person.page.get_by_text("Details", exact=True).all():
            details.click()
        violations = axe.run(person.page).response["violations"]
        assert [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in violations] == []
        assert person.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


def test_the_keyboard_alone_is_enough(visit, fake):
    with visit(fake) as person:
        person.expect(person.field("fake")).to_be_checked()
        person.expect(person.clip("Original")).to_be_visible()
        reached = []
        for _ in range(12):
            person.page.keyboard.press("Tab")
            reached.append(person.page.evaluate("document.activeElement.id || document.activeElement.innerText"))
            if reached[-1] == "speak":
                break
        assert reached == ["file", "English", "Russian", "model-0", "Details", "Settings", "speak"]
        person.page.keyboard.press("Enter")
        person.expect(person.page.get_by_role("status")).to_have_text("Done: 1 of 1 model.")
