"""Whether those who see, hear or type otherwise can use the page: names, landmarks, contrast, the
keyboard and small screens, in a real browser."""

import page as pages
from page import FROG, READY, ROCKET, TESTDATA, PageTestCase

# Text, and the edges of what can be used, against what lies behind them, as WCAG 2 computes it.
CONTRAST = """(() => {
    const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const rgba = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255]; };
    const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
    const behind = (element) => {
        const layers = [];
        for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
        return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
    };
    const luminance = (colour) => colour.slice(0, 3).map((part) => part / 255).map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, i) => sum + part * [0.2126, 0.7152, 0.0722][i], 0);
    const contrast = (one, other) => { const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b); return (high + 0.05) / (low + 0.05); };
    const low = [];
    let seen = 0;
    for (const element of document.querySelectorAll('body *')) {
        if (!element.checkVisibility({checkOpacity: false}) || element.closest('.unseen, :disabled, svg')) continue;
        const style = getComputedStyle(element), place = element.tagName + (element.id && '#' + element.id) + (element.className && '.' + element.className);
        const opacity = (() => { let product = 1; for (let at = element; at; at = at.parentElement) product *= getComputedStyle(at).opacity; return product; })();
        const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()) || element.matches('textarea, select, input:not([type=checkbox]):not([type=radio]):not([type=range])');
        if (text) {
            ++seen;
            const ground = behind(element), colour = rgba(style.color);
            const found = contrast(over([...colour.slice(0, 3), colour[3] * opacity], ground), ground);
            if (found < 4.5) low.push([place, 'text', found]);
        }
        if (element.matches('button:not(.plain):not(.card), textarea, select, input[type=text], input[type=number], input[type=password]')) {
            const found = contrast(over(rgba(style.borderColor), behind(element.parentElement)), behind(element.parentElement));
            if (found < 3) low.push([place, 'edge', found]);
        }
    }
    return {low, seen};
})()"""


class AccessibilityTest(PageTestCase):
    def full(self, **options):
        """A page where everything shows."""
        page = self.open(**options)
        self.classes(page, "frog | animal | 90 %\nrocket | made\nairplane | made\nzyzzyva")
        self.add(page, FROG, ROCKET, TESTDATA / "cmyk.tif")
        page.click("#has-background")
        page.click("#compare")
        page.wait(READY)
        page.wait("document.querySelectorAll('#answers > section').length === 2")
        page.evaluate("(() => { const range = document.querySelector('#threshold'); range.value = 70; range.dispatchEvent(new Event('input')); })()")
        page.evaluate("document.querySelector('#classes-help').open = true")
        return page

    def nodes(self, page):
        """Chromium's own reading of the page: (role, name, description)."""
        tree = page.send("Accessibility.getFullAXTree")["nodes"]
        return [(node["role"]["value"], node.get("name", {}).get("value", "").strip()) for node in tree if not node["ignored"]]

    def test_all_that_can_be_used_has_a_name_of_its_own(self):
        page = self.full()
        nodes = self.nodes(page)
        used = [node for node in nodes if node[0] in ("button", "textbox", "combobox", "checkbox", "radio", "slider", "spinbutton", "link", "progressbar", "listbox", "menuitem", "DisclosureTriangle")]
        self.assertGreater(len(used), 25)
        self.assertEqual([role for role, name in used if not name], [])
        names = [node for node in used if node[0] == "button"]
        self.assertEqual(len(names), len(set(names)), names)
        for role, name in (("textbox", "Classes"), ("textbox", "Templates"), ("combobox", "Template set"), ("checkbox", "None of these"), ("checkbox", "Compare two"),
                           ("textbox", "Things that are none of the classes"), ("slider", "Accept from"), ("spinbutton", "Temperature"), ("radio", "A"), ("radio", "B"), ("button", "Choose images")):
            self.assertIn((role, name), nodes)
        for button, dialog in (("#open-model", "Model"), ("#open-camera", "Camera")):
            page.click(button)
            page.wait("document.querySelector('dialog[open]')")
            self.assertIn(("dialog", dialog), self.nodes(page))
            page.key("Escape", number=27)
            page.wait("!document.querySelector('dialog[open]')")
            self.assertEqual("#" + page.evaluate("document.activeElement.id"), button)

    def test_the_page_has_landmarks_headings_and_live_regions(self):
        page = self.full()
        roles = [role for role, _ in self.nodes(page)]
        for role, times in (("banner", 1), ("main", 1), ("contentinfo", 1)):
            self.assertEqual(roles.count(role), times, role)
        self.assertEqual(page.evaluate("document.documentElement.lang"), "en")
        self.assertEqual(page.evaluate("document.title"), "zeroshot")
        levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].filter((heading) => heading.checkVisibility()).map((heading) => Number(heading.tagName[1]))")
        self.assertEqual(levels.count(1), 1)
        self.assertTrue(all(after <= before + 1 for before, after in zip(levels, levels[1:])), levels)
        for region in ("#said", "#build-status", "#build-error", "#image-error", "#classes-error", "#templates-error"):
            self.assertIn(page.evaluate(f"document.querySelector('{region}').getAttribute('role')"), ("status", "alert"), region)
        identifiers = page.evaluate("[...document.querySelectorAll('[id]')].map((element) => element.id)")
        self.assertEqual(len(identifiers), len(set(identifiers)))
        self.assertEqual(page.evaluate("[...document.querySelectorAll('[for], [aria-labelledby], [aria-describedby]')].flatMap((element) => (element.htmlFor?.value ?? element.htmlFor ?? '').toString().split(' ').concat((element.getAttribute('aria-labelledby') ?? '').split(' '), (element.getAttribute('aria-describedby') ?? '').split(' '))).filter((id) => id && !document.getElementById(id))"), [])

    def test_text_and_edges_stand_out_in_light_and_dark(self):
        for dark in (False, True):
            with self.subTest(dark=dark):
                page = self.full(dark=dark, width=1440)
                found = page.evaluate(CONTRAST)
                self.assertEqual(found["low"], [])
                self.assertGreater(found["seen"], 60)
                page.click("#open-model")
                self.assertEqual(page.evaluate(CONTRAST)["low"], [])

    def test_the_keyboard_reaches_everything_in_reading_order(self):
        page = self.full()
        page.evaluate("document.querySelector('a, button, input, select, textarea').focus()")
        self.assertEqual(page.evaluate("document.activeElement.className"), "skip")
        self.assertGreaterEqual(page.evaluate("document.activeElement.getBoundingClientRect().top"), 0)
        reached = []
        for _ in range(80):
            page.tab()
            if page.evaluate("document.activeElement === document.body || document.activeElement.className === 'skip'"):
                break
            focus = page.evaluate("""(() => {
                const element = document.activeElement, shown = element.closest('.segments') ? element.parentElement : element, style = getComputedStyle(shown);
                const {x, y, width, height} = shown.getBoundingClientRect();
                const at = document.elementFromPoint(x + width / 2, y + Math.min(height / 2, 20));
                window.order ??= [];
                order.push(element);
                return {place: element.id || element.innerText || element.value, ring: style.outlineStyle, width: parseFloat(style.outlineWidth),
                        uncovered: !!at && (shown.contains(at) || at.contains(shown))};
            })()""")
            self.assertEqual((focus["ring"], focus["width"] >= 2, focus["uncovered"]), ("solid", True, True), focus)
            reached.append(focus["place"])
        self.assertTrue(page.evaluate("order.every((element, i) => !i || order[i - 1].compareDocumentPosition(element) & Node.DOCUMENT_POSITION_FOLLOWING)"), reached)
        missed = page.evaluate("""[...document.querySelectorAll('button, input, select, textarea, a[href], summary, pre')].filter(
            (element) => element.checkVisibility() && !element.disabled && !element.closest('dialog') && element.className !== 'skip' && !order.includes(element) &&
                         !(element.type === 'radio' && !element.checked)).map((element) => element.id || element.outerHTML)""")
        self.assertEqual(missed, [])

    def test_the_keyboard_alone_is_enough(self):
        page = self.open()
        page.evaluate("document.querySelector('#drawings button').focus()")
        page.enter()
        page.wait("document.querySelector('.verdict')?.innerText.startsWith('apple')")
        page.tab()
        self.assertNotEqual(page.evaluate("document.activeElement"), None)
        page.evaluate("document.querySelector('#has-background').focus()")
        page.key(" ", code="Space", number=32, text=" ")
        page.wait("!document.querySelector('#background-field').hidden")
        page.evaluate("document.querySelector('#open-model').focus()")
        page.enter()
        page.wait("document.querySelector('#model').open")
        page.key("Escape", number=27)
        page.wait("!document.querySelector('#model').open && document.activeElement.id === 'open-model'")
        page.evaluate("document.querySelector('#threshold').focus()")
        page.key("ArrowRight", number=39)
        page.wait("document.querySelector('#threshold-value').innerText === '1\\u00a0%'")

    def test_a_phone_shows_everything_without_scrolling_sideways(self):
        for width in (320, 390):
            with self.subTest(width=width):
                page = self.full(width=width, height=800, touch=True)
                self.assertEqual(page.evaluate("document.documentElement.scrollWidth"), width)
                small = page.evaluate("""[...document.querySelectorAll('button, select, textarea, input')].filter((element) => element.checkVisibility()).map((element) => {
                    const {width, height} = (element.closest('label') ?? element).getBoundingClientRect();
                    return [element.id || element.innerText || element.value, width, height];
                }).filter(([, width, height]) => width < 24 || height < 24)""")
                self.assertEqual([place for place, *_ in small if place not in ("threshold",)], [])
                self.assertEqual(page.evaluate("getComputedStyle(document.querySelector('#classes')).fontSize"), "16px")


if __name__ == "__main__":
    pages.main()
