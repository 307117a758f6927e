"""The page at `/` of the real server, used in a real browser: images, classes, builds, files."""

import base64
import csv
import hashlib
import html.parser
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
import urllib.request

import documents
import page as pages
from page import DEMO, FROG, READY, ROCKET, TESTDATA, PageTestCase

IMAGES = sorted((DEMO / "images").iterdir())
CLIENTS = documents.SOURCE / ".deps/http-clients"  # with requests; scripts/test fetches them
sys.path.insert(0, str(CLIENTS))


class PageTest(PageTestCase):
    def test_an_image_that_is_dropped_has_bars_of_the_classes_that_are_typed(self):
        page = self.open()
        page.drop("#drop", FROG)
        self.classes(page, "car\nfrog\napple")
        self.assertEqual(self.bars(page)[0][0], "frog")
        built = self.server.post("/v1/classifiers", json.dumps({"classes": ["car", "frog", "apple"]}).encode())
        expected = self.classify(FROG, weight_set_id=built["weight_set_id"], top_k=10)
        for (name, share), prediction in zip(self.bars(page), expected["predictions"], strict=True):
            self.assertEqual(name, prediction["class_name"])
            self.assertAlmostEqual(share, 100 * prediction["probability"], delta=0.06)
        self.assertIn("frog", page.text(".verdict"))
        page.wait("document.querySelector('#said').innerText.startsWith('frog.png: frog, ')")

    def test_other_classes_and_templates_cost_no_image_pass(self):
        page = self.open()
        self.add(page, *IMAGES[:3])
        self.assertEqual(self.sent(page, "/v1/embeddings"), 3)
        for text in ("apple\nbutterfly", "apple\nbutterfly\ncactus", "cactus"):
            self.classes(page, text)
            page.wait(f"document.querySelectorAll('#answers .bars li').length === {len(text.splitlines())}")
        page.type("#templates", "an emoji of a {}.")
        page.wait("document.querySelector('#prompts').innerText === 'an emoji of a cactus.'")
        page.wait(READY)
        self.assertEqual(self.sent(page, "/v1/embeddings"), 3)

    def test_each_image_is_what_its_file_name_says(self):
        page = self.open()
        page.choose("#list", DEMO / "classes.txt")
        page.type("#templates", "a photo of a {}.\na drawing of a {}.\nan emoji of a {}.\na picture of a {}.\n{}")
        page.wait(READY + " && document.querySelector('#prompt-count').innerText === '100 prompts'")
        self.add(page, *IMAGES)
        page.wait("document.querySelectorAll('.card .share').length === 12")
        self.assertEqual([card["best"] for card in self.cards(page)], [[path.stem] for path in IMAGES])
        self.assertEqual([card["name"] for card in self.cards(page)], [path.name for path in IMAGES])
        page.click("#grid li:nth-child(5) button")
        page.wait("document.querySelector('.verdict').innerText.startsWith('frog')")
        page.click("#remove")
        page.wait("document.querySelectorAll('.card').length === 11")
        page.click("#clear")
        page.wait("!document.querySelector('#drop').hidden && document.querySelector('#stage').hidden")

    def test_prompts_are_shown_as_they_are_typed(self):
        page = self.open()
        page.type("#templates", "a {} and a {}.\nthe {}")
        self.classes(page, "red panda\nbird\n> a thing with feathers")
        page.wait("document.querySelector('#prompts').innerText === 'a thing with feathers'")
        page.evaluate("document.querySelector('#classes').setSelectionRange(0, 0)")
        page.evaluate("document.querySelector('#classes').focus()")
        page.key("ArrowRight", number=39)
        page.wait("document.querySelector('#prompts').innerText === 'a red panda and a red panda.\\nthe red panda'")
        self.assertEqual(page.text("#prompt-count"), "3 prompts")

    def test_answers_are_the_servers_with_groups_thresholds_and_background(self):
        page = self.open(downloads=self.downloads)
        self.add(page, ROCKET)
        self.classes(page, "rocket | made | 90 %\nairplane | made\nsailboat | made | 0.001\nfrog | living\nbutterfly | living")
        page.click("#has-background")
        page.type("#background", "landscape\nperson")
        page.type("#temperature", "2.5")
        page.evaluate("(() => { const range = document.querySelector('#threshold'); range.value = 20; range.dispatchEvent(new Event('input')); })()")
        for score in ("softmax", "sigmoid"):
            page.evaluate(f"(() => {{ const select = document.querySelector('#score'); select.value = '{score}'; select.dispatchEvent(new Event('input')); }})()")
            page.wait(READY + " && state.score === '" + score + "' && classifiers[0].built.spec.temperature === 2.5")
            (self.downloads / "zeroshot.json").unlink(missing_ok=True)
            kept = json.loads(self.downloaded(page, "#save-json", "zeroshot.json"))
            found = kept["images"][0]["answers"][0]
            expected = self.classify(ROCKET, weight_set_id=found["weight_set_id"], top_k=10, score_function=score, min_probability=0.2)
            self.assertEqual(len(found["predictions"]), 5)
            for mine, theirs in zip(found["predictions"], expected["predictions"], strict=True):
                for field in ("class_index", "class_name", "accepted"):
                    self.assertEqual(mine[field], theirs[field], field)
                for field, most in (("probability", 1e-4), ("logit", 1e-3), ("cosine", 1e-4)):
                    self.assertAlmostEqual(mine[field], theirs[field], delta=most, msg=field)
            self.assertEqual([group["group"] for group in found["groups"]], [group["group"] for group in expected["groups"]])
            for mine, theirs in zip(found["groups"], expected["groups"]):
                self.assertAlmostEqual(mine["probability"], theirs["probability"], delta=1e-4)
            self.assertAlmostEqual(found["other_probability"], expected["other_probability"], delta=1e-4)
            self.assertGreater(found["other_probability"], 0)
        self.assertIn("None of these", [name for name, _ in self.bars(page)])
        self.assertTrue(page.evaluate("document.querySelectorAll('.limit:not([hidden])').length >= 5"))

    def test_a_guess_that_is_not_accepted_is_not_the_answer(self):
        page = self.open()
        self.add(page, FROG)
        self.classes(page, "car | | 100 %\npizza | | 100 %")
        page.wait("document.querySelector('.verdict').innerText.startsWith('Not sure')")
        self.assertIn("under the 100.0\xa0% from which it is accepted", page.text(".remark"))
        page.click("#has-background")
        page.type("#background", "frog")
        page.wait("document.querySelector('.verdict').innerText.startsWith('None of these')")

    def test_a_large_build_shows_its_progress_and_can_be_stopped(self):
        page = self.open()
        page.evaluate("(() => { const select = document.querySelector('#class-set'); select.value = 'imagenet-1k'; select.dispatchEvent(new Event('change')); })()")
        page.click("#load")
        page.wait("document.querySelector('#start-build').innerText === 'Build 80,000 prompts'")
        page.evaluate("""(() => {
            window.seen = [];
            new MutationObserver(() => seen.push(document.querySelector('#progress-text').innerText)).observe(
                document.querySelector('#progress-text'), {childList: true});
        })()""")
        page.click("#start-build")
        page.wait("seen.some((text) => text.includes('left'))")
        page.click("#stop-build")
        page.click("#start-build")
        page.wait(READY, 300)
        self.assertEqual(page.text("#class-count"), "1,000 classes")
        seen = page.evaluate("seen")
        shown = [re.fullmatch(r"([\d,]+) of 80,000 prompts( · (\d+ (s|min)|less than 1 s) left)?", text) for text in seen]
        self.assertTrue(all(shown), seen)
        self.assertTrue(any(match[2] for match in shown), seen)
        self.assertGreater(len({match[1] for match in shown}), 2, seen)

    def test_results_and_classifier_are_downloaded(self):
        page = self.open(downloads=self.downloads)
        self.classes(page, 'frog | "green" ones | 50 %\nred, ripe apple\n> an apple\n> a red apple')
        self.add(page, FROG, TESTDATA / "cmyk.jpg")
        page.wait("document.querySelectorAll('.card .share').length === 2")
        rows = list(csv.DictReader(self.downloaded(page, "#save-csv", "zeroshot.csv").splitlines()))
        self.assertEqual([row["image"] for row in rows], ["frog.png", "cmyk.jpg"])
        self.assertEqual((rows[0]["class_1"], rows[0]["accepted"], rows[0]["error"]), ("frog", "true", ""))
        self.assertEqual({rows[0]["class_1"], rows[0]["class_2"]}, {"frog", "red, ripe apple"})
        self.assertAlmostEqual(float(rows[0]["probability_1"]) + float(rows[0]["probability_2"]), 1, delta=1e-5)
        spec = self.downloads / "classifier.json"
        self.assertEqual(json.loads(self.downloaded(page, "#save-spec", spec.name)), {
            "classes": [{"name": "frog", "group": '"green" ones', "min_probability": 0.5},
                        {"name": "red, ripe apple", "prompts": ["an apple", "a red apple"]}],
            "template_set": "simple"})
        built = subprocess.run([documents.CLIENT, f"--target={self.server.address}", "build", f"--spec={spec}"],
                               capture_output=True, text=True, check=True, timeout=60)
        self.assertEqual(built.stdout.strip(), rows[0]["weight_set_id"])
        # And back.
        other = self.open()
        other.choose("#list", spec)
        other.wait("document.querySelector('#classes').value.startsWith('frog | \"green\" ones | 0.5\\nred, ripe apple\\n> an apple')")

    def test_class_lists_of_all_kinds_are_imported(self):
        page = self.open()
        lists = {
            "utf16.txt": ("frog\r\n\r\n Äpfel \r\n".encode("utf-16"), "frog\nÄpfel"),
            "marked.txt": (b"\xef\xbb\xbffrog\ncar", "frog\ncar"),
            "bars.txt": (b"a | b\n> c", "a \\| b\n\\> c"),
            "plain.csv": (b"frog,1\n\"car, red\",2\n", "frog\ncar, red"),
            "columns.csv": (b"id;Label;group;threshold\n1;frog;animal;0.5\n2;car;;\n", "frog | animal | 0.5\ncar"),
            "prompts.csv": (b"class,prompt\nfrog,\"a \"\"green\"\" one\"\nfrog,it jumps\n", 'frog\n> a "green" one\n> it jumps'),
            "names.json": (b'["frog", "car"]', "frog\ncar"),
            "labels.json": (b'{"0": "frog", "1": "car"}', "frog\ncar"),
            "cupl.json": (b'{"frog": ["it jumps"], "car": ["it drives", "it stops"]}', "frog\n> it jumps\ncar\n> it drives\n> it stops"),
            "spec.json": (b'{"classes": [{"name": "frog", "minProbability": 0.7}], "templateSet": "openai-imagenet-7", "background": ["sky"], "temperature": 2}', "frog | | 0.7"),
        }
        for name, (content, expected) in lists.items():
            with self.subTest(name):
                (self.folder / name).write_bytes(content)
                page.evaluate("document.querySelector('#classes').value = ''")
                page.choose("#list", self.folder / name)
                page.wait("document.querySelector('#classes').value")
                self.assertEqual(page.evaluate("document.querySelector('#classes').value"), expected)
                page.wait(READY)
        self.assertEqual(page.evaluate("document.querySelector('#template-set').value"), "openai-imagenet-7")
        self.assertEqual(page.evaluate("[document.querySelector('#background').value, document.querySelector('#temperature').value]"), ["sky", "2"])
        for name, content, said in (("latin1.txt", "Äpfel".encode("latin-1"), "save it as UTF-8"), ("empty.txt", b"\n", "no class in it"),
                                    ("broken.json", b'{"classes": ', "is no class list"), ("number.json", b'{"frog": 3}', "expected a list of names")):
            with self.subTest(name):
                (self.folder / name).write_bytes(content)
                page.choose("#list", self.folder / name)
                page.wait(f"document.querySelector('#build-error').innerText.includes({json.dumps(said)})")

    def test_two_classifiers_are_compared(self):
        page = self.open(width=1440)
        self.classes(page, "frog\nrocket")
        self.add(page, FROG, ROCKET)
        page.click("#compare")
        self.assertEqual(page.evaluate("document.querySelector('#classes').value"), "frog\nrocket")
        page.wait(READY)
        self.classes(page, "pizza\nrocket\ncar")
        page.click("#grid li:nth-child(1) button")
        page.wait("document.querySelectorAll('#answers > section').length === 2")
        self.assertEqual({name for name, _ in self.bars(page, 1)}, {"frog", "rocket"})
        self.assertEqual({name for name, _ in self.bars(page, 2)}, {"pizza", "rocket", "car"})
        left, right = page.evaluate("[...document.querySelectorAll('#answers > section')].map((answer) => answer.getBoundingClientRect().toJSON())")
        self.assertEqual(left["top"], right["top"])
        self.assertLessEqual(left["right"], right["left"])
        page.wait("document.querySelector('#count').innerText.endsWith('A and B agree on 1')")
        self.assertEqual([len(card["best"]) for card in self.cards(page)], [2, 2])
        page.click("[name=side][value='0']")
        page.wait("document.querySelector('#classes').value === 'frog\\nrocket'")
        self.assertIn("more_weight_set_ids", page.text("#snippet"))

    def test_the_request_that_is_shown_gives_the_same_answer(self):
        page = self.open()
        self.add(page, ROCKET)
        for text, background in (("rocket\nairplane\nan 'odd' one", False), ("rocket | made\nairplane", True)):
            self.classes(page, text)
            if background:
                page.click("#has-background")
                page.wait(READY)
            bars = self.bars(page)
            page.evaluate("document.querySelector('[name=language][value=curl]').click()")
            page.wait("document.querySelector('#snippet').innerText.includes('curl')")
            run = subprocess.run(["bash", "-euo", "pipefail", "-c", page.text("#snippet")], cwd=ROCKET.parent, capture_output=True, text=True, timeout=60)
            self.assertEqual(run.returncode, 0, run.stderr)
            predictions = json.loads(run.stdout)["predictions"]
            self.assertEqual([prediction["class_name"] for prediction in predictions], [name for name, _ in bars if name != "None of these"])
            self.assertAlmostEqual(100 * predictions[0]["probability"], bars[0][1], delta=0.06)
        page.evaluate("document.querySelector('[name=language][value=python]').click()")
        page.wait("document.querySelector('#snippet').innerText.includes('import requests')")
        compile(page.text("#snippet"), "snippet", "exec")
        if importlib.util.find_spec("requests"):
            run = subprocess.run([sys.executable, "-c", page.text("#snippet")], cwd=ROCKET.parent, capture_output=True, text=True, timeout=60,
                                 env={**os.environ, "PYTHONPATH": str(CLIENTS)})
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertEqual([line.rsplit(None, 1)[0] for line in run.stdout.splitlines()], [prediction["class_name"] for prediction in predictions])
        page.evaluate("document.querySelector('[name=language][value=grpc]').click()")
        page.wait("document.querySelector('#snippet').innerText.includes('grpcurl')")
        subprocess.run(["bash", "-n", "-c", page.text("#snippet")], check=True)

    def test_what_goes_wrong_is_said_where_it_happened(self):
        page = self.open(refusals=1)
        page.type("#templates", "a photo")
        page.wait("document.querySelector('#templates-error').innerText.includes('“a photo” has no {}')")
        page.type("#templates", "a photo of a {}.")
        page.type("#classes", "frog | animal | many\n> x\n | y")
        page.wait("document.querySelector('#classes-error').innerText.includes('Line 1: the threshold “many”')")
        self.assertIn("Line 3: the class has no name", page.text("#classes-error"))
        page.type("#classes", "frog " * 200)
        page.wait("document.querySelector('#build-error').innerText.includes('tokens')")
        self.assertFalse(page.evaluate("document.querySelector('#start-build').hidden"))
        self.classes(page, "frog")
        self.assertEqual(page.text("#build-error"), "")
        broken = self.folder / "broken.png"
        broken.write_bytes(FROG.read_bytes()[:400])
        self.add(page, FROG, broken)
        page.click("#grid li:nth-child(2) button")
        page.wait("document.querySelector('#image-error').innerText")
        self.assertRegex(page.text("#image-error"), r"(?i)png")
        self.assertEqual([card["best"] for card in self.cards(page)], [["frog"], ["Failed"]])

    def test_an_image_that_the_browser_cannot_show_is_classified_all_the_same(self):
        page = self.open()
        self.classes(page, "frog\ncar")
        self.add(page, TESTDATA / "cmyk.tif", FROG)
        page.click("#grid li:nth-child(1) button")
        page.wait("document.querySelector('#shown .format')")
        self.assertEqual(page.text("#shown .format b"), "TIF")
        self.assertEqual(len(self.bars(page)), 2)

    def test_images_come_from_the_clipboard_the_camera_and_the_drawings(self):
        page = self.open()
        page.evaluate(f"""(async () => {{
            const bytes = Uint8Array.from(atob("{base64.b64encode(FROG.read_bytes()).decode()}"), (letter) => letter.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], 'pasted.png', {{type: 'image/png'}}));
            document.dispatchEvent(new ClipboardEvent('paste', {{clipboardData: data}}));
        }})()""")
        page.wait("document.querySelector('.verdict')?.innerText.startsWith('frog')")
        page.click("#open-camera")
        page.wait("!document.querySelector('#take').disabled")
        page.click("#take")
        page.wait("document.querySelector('#shown-name').innerText.startsWith('camera-') && document.querySelectorAll('.card .share').length === 2")
        self.assertTrue(page.evaluate("document.querySelector('#video').srcObject === null"))
        page.click("#clear")
        for drawing in ("apple", "sailboat", "umbrella"):
            page.wait("!document.querySelector('#drop').hidden")
            page.evaluate(f"[...document.querySelectorAll('#drawings button')].find((button) => button.innerText === '{drawing}').click()")
            page.wait(f"document.querySelector('.verdict')?.innerText.startsWith('{drawing}')")
            page.click("#clear")

    def test_names_are_text_and_never_markup(self):
        page = self.open()
        name = "<img src=x onerror=alert(1)>"
        hostile = self.folder / "<b>bold<b>.png"
        hostile.write_bytes(FROG.read_bytes())
        self.classes(page, f"{name} | <i>group\nfrog")
        self.add(page, hostile, FROG)
        self.assertIn(name, [row for row, _ in self.bars(page)])
        self.assertEqual(page.evaluate("document.querySelectorAll('#answers img, #answers i, #grid b:not(.format b)').length"), 0)

    def test_menus_write_over_nothing_that_was_typed(self):
        page = self.open()
        self.classes(page, "walrus")
        page.type("#templates", "my {}\nyour {}")
        page.wait("document.querySelector('#template-set').value === ''")
        for menu in ("class-set", "template-set"):
            page.evaluate(f"document.querySelector('#{menu}').focus()")
            page.key("ArrowDown", number=40)
        page.evaluate("(() => { for (const value of ['openai-imagenet-7', '']) { const select = document.querySelector('#template-set'); select.value = value; select.dispatchEvent(new Event('change')); } })()")
        page.wait(READY)
        self.assertEqual(page.evaluate("[document.querySelector('#classes').value, document.querySelector('#templates').value]"), ["walrus", "my {}\nyour {}"])

    def test_what_is_typed_is_still_there_after_a_reload(self):
        page = self.open()
        self.classes(page, "walrus\npenguin")
        time.sleep(0.5)
        page.send("Page.reload")
        page.wait("document.querySelector('#classes')?.value === 'walrus\\npenguin'")
        page.wait(READY)

    def test_the_model_card_warns_of_the_demo(self):
        page = self.open()
        self.assertIn("no basis for anything real", page.text("#demo-note"))
        page.click("#open-model")
        page.wait("document.querySelector('#model').open")
        self.assertIn("demo model", page.text("#model"))
        self.assertIn("128 numbers", page.text("#model-facts"))


class TokenTest(PageTestCase):
    def test_a_token_is_asked_for_and_kept_in_the_tab_only(self):
        tokens = self.folder / "tokens"
        digest = hashlib.sha256(b"right-token-of-32-characters-or-more").hexdigest()
        tokens.write_text(f"page classify,build {digest}\n")
        server = self.start(f"--auth_tokens={tokens}")
        page = self.open(server, refusals=6, ready=False)
        page.wait("document.querySelector('#token').open")
        self.assertEqual(page.evaluate("document.activeElement.id"), "token-text")
        self.browser.send("Input.insertText", page.session, text="wrong")
        page.enter()
        page.wait("document.querySelector('#token').open && document.querySelector('#token-why').innerText.includes('does not know')")
        self.browser.send("Input.insertText", page.session, text="right-token-of-32-characters-or-more")
        page.enter()
        page.wait(READY)
        self.assertFalse(page.evaluate("document.querySelector('#token').open"))
        self.add(page, FROG)
        self.assertEqual(self.bars(page)[0][0], "frog")
        self.assertEqual(page.evaluate("[localStorage.length, document.cookie]"), [0, ""])
        self.assertNotIn("right-token", page.text("#snippet"))
        self.assertIn("$TOKEN", page.text("#snippet"))


class PolicyTest(PageTestCase):
    def test_the_policy_lets_nothing_in_from_elsewhere(self):
        with urllib.request.urlopen(self.server.url + "/", timeout=60) as answer:
            policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
        self.assertEqual(policy["default-src"], "'none'")
        self.assertEqual(policy["connect-src"], "'self'")
        for kind in ("script-src", "style-src"):
            self.assertRegex(policy[kind], r"^('sha256-[A-Za-z0-9+/=]+' ?)+$")

    def test_a_script_that_is_not_the_pages_does_not_run(self):
        page = self.open()
        page.evaluate("(() => { const script = document.createElement('script'); script.textContent = 'window.ran = true'; document.body.append(script); })()")
        self.assertIsNone(page.evaluate("window.ran ?? null"))
        self.assertTrue(page.problems)
        page.problems.clear()

    def test_the_file_has_no_handlers_styles_or_addresses_of_other_hosts(self):
        class Reader(html.parser.HTMLParser):
            found = []

            def handle_starttag(self, tag, attributes):
                for name, value in attributes:
                    if name.startswith("on") or name == "style" or (tag in ("script", "style")) or \
                            name in ("src", "href", "action") and not re.match(r"data:image/|#|[a-z.]+$", value):
                        self.found.append((tag, name, value))

        Reader().feed((documents.SOURCE / "server/http/page.html").read_text())
        self.assertEqual(Reader.found, [])


if __name__ == "__main__":
    pages.main()
