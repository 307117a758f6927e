"""What the programs print of themselves is loaded by the real programs that it is for: completions
by bash, zsh and fish, man pages by man and its linters. A shell or linter that this machine has not
is skipped. ZEROSHOT_BINARY_DIR is set by CMakeLists.txt."""

import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time
import unittest

BUILD = pathlib.Path(os.environ["ZEROSHOT_BINARY_DIR"])
PROGRAMS = {name: BUILD / folder / name
            for name, folder in [("zeroshot_server", "server"), ("zeroshot_client", "client")]}
PATIENCE = 60  # seconds
TAB, DONE = b"\t", b"\x07"

folder = None


def setUpModule():
    global folder
    folder = pathlib.Path(tempfile.mkdtemp(prefix="pages-"))
    unittest.addModuleCleanup(shutil.rmtree, folder)
    for name, program in PROGRAMS.items():
        for kind, file in [("man", f"{name}.1"), ("bash", f"{name}.bash"), ("zsh", f"_{name}"),
                           ("fish", f"{name}.fish")]:
            (folder / file).write_bytes(
                subprocess.run([program, f"--generate={kind}"], stdout=subprocess.PIPE, check=True).stdout)
    # What there is to complete with.
    (folder / "here/folder").mkdir(parents=True)
    (folder / "here/image one.png").touch()


def typed(arguments, setup, line):
    """What an interactive shell says, and its line, after `line` and TAB were typed at its prompt."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder / "here")
        os.environ.update(TERM="dumb", HISTFILE="", HOME=str(folder))
        os.execvp(arguments[0], arguments)

    def read_until(pattern):
        said, end = b"", time.monotonic() + PATIENCE
        while not (found := re.search(pattern, said, re.DOTALL)):
            if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError(f"{arguments[0]} said only {said!r}")
            said += os.read(terminal, 65536)
        return found
    try:
        # The terminal shows what is typed; only the shell's own answer has no quotes.
        os.write(terminal, setup.encode() + b"\necho REA''DY\n")
        read_until(rb"READY\r?\n")
        os.write(terminal, line.encode() + TAB + DONE)
        found = read_until(rb"(.*)END<(.*?)>")
        return found[1].decode().replace("\r", ""), found[2].decode()
    finally:
        os.close(terminal)
        os.kill(pid, 9)
        os.waitpid(pid, 0)


class Completions:
    """What a shell offers; offers(line) is its words, completed(line) the line it makes of it."""

    def assert_offers(self, line, *words):
        self.assertEqual(sorted(self.offers(line)), sorted(words), line)

    def test_flags_by_their_beginning(self):
        self.assert_offers("zeroshot_server --tls_c", *map(self.flag, ["--tls_cert", "--tls_client_ca"]))
        self.assert_offers("zeroshot_server --lis", self.flag("--listen"))
        self.assert_offers("zeroshot_server --no_such")

    def test_values_that_are_named(self):
        self.assert_offers("zeroshot_server --log_format=", *map(self.value("--log_format"), ["text", "json"]))
        self.assert_offers("zeroshot_server --check --log_format=j", self.value("--log_format")("json"))

    def test_values_that_are_files(self):
        self.assertIn("image", "".join(self.offers("zeroshot_server --tls_cert=ima")))
        self.assertIn("folder/", "".join(self.offers("zeroshot_server --tls_cert=fol")))
        folders = self.offers("zeroshot_server --disk_store=")
        self.assertEqual(len(folders), 1)
        self.assertIn("folder/", folders[0])
        self.assertEqual(self.offers("zeroshot_server --threads="), [])

    def test_commands_where_none_was_typed(self):
        self.assert_offers("zeroshot_client cl", "classify")
        self.assert_offers("zeroshot_client --target=x heal", "health")
        self.assertIn("import", self.offers("zeroshot_client "))
        self.assertNotIn("folder/", self.offers("zeroshot_client "))
        self.assert_offers("zeroshot_client health cl")

    def test_flags_of_the_command(self):
        self.assert_offers("zeroshot_client classify --top", self.flag("--top_k"))
        self.assert_offers("zeroshot_client classify --js", "--json")
        self.assert_offers("zeroshot_client delete --top")

    def test_files_where_the_command_takes_them(self):
        self.assertIn("image", "".join(self.offers("zeroshot_client classify ima")))
        self.assertEqual(self.offers("zeroshot_client health "), [])
        self.assertEqual(self.offers("zeroshot_server ima"), [])

    def test_completed_files_are_quoted_and_completed_folders_go_on(self):
        self.assertEqual(self.completed("zeroshot_client classify ima"),
                         r"zeroshot_client classify image\ one.png ")
        self.assertEqual(self.completed("zeroshot_server --tls_cert=ima"),
                         r"zeroshot_server --tls_cert=image\ one.png ")
        self.assertEqual(self.completed("zeroshot_server --disk_store=fol"), "zeroshot_server --disk_store=folder/")


@unittest.skipUnless(shutil.which("bash"), "no bash here")
class Bash(Completions, unittest.TestCase):
    SETTINGS = ["show-all-if-ambiguous on", "completion-display-width 0", "completion-query-items 0",
                "page-completions off", "enable-bracketed-paste off", "bell-style none", "mark-directories on"]
    SETUP = "\n".join(
        [*(f"source {{folder}}/{name}.bash" for name in PROGRAMS), *(f"bind 'set {line}'" for line in SETTINGS),
         r"""bind -x '"\C-g": printf "END<%s>\n" "$READLINE_LINE"'""", "PS1="])
    flag = staticmethod(lambda name: f"{name}=")
    value = staticmethod(lambda flag: lambda word: word)

    def ask(self, line):
        return typed(["bash", "--norc", "--noprofile", "-i"], self.SETUP.format(folder=folder), line)

    def completed(self, line):
        return self.ask(line)[1]

    def offers(self, line):
        said, made = self.ask(line)
        # A list is shown below the line; what is alone is written into it.
        listed = [word for word in said.split("\n")[1:] if word and not word.startswith("zeroshot_")]
        if listed or made == line:
            return listed
        return [made[1 + max(line.rfind(" "), line.rfind("=")):].rstrip()]


@unittest.skipUnless(shutil.which("zsh"), "no zsh here")
class Zsh(Completions, unittest.TestCase):
    # compadd is where every offer of every function passes through.
    SETUP = r"""PROMPT= RPROMPT= PS2=; unsetopt zle_bracketed_paste prompt_sp prompt_cr beep
fpath=({folder} $fpath); autoload -U compinit; compinit -u -D
compadd() {{ local -a hits; [[ " $* " == *' -'[OAD]' '* ]] || {{ builtin compadd -A hits "$@"; for hit in "${{hits[@]}}"; print -r -- "OFFER<$hit>" }}; builtin compadd "$@" }}
done_() {{ print -r -- "END<$BUFFER>" }}; zle -N done_; bindkey '^I' complete-word '^G' done_; LISTMAX=9999"""
    flag = staticmethod(lambda name: name)
    value = staticmethod(lambda flag: lambda word: word)

    def ask(self, line):
        return typed(["zsh", "-f", "-i"], self.SETUP.format(folder=folder), line)

    def completed(self, line):
        return self.ask(line)[1]

    def offers(self, line):
        found = set(re.findall("OFFER<(.*?)>", self.ask(line)[0].replace("\n", "")))
        return [f"{word}/" if word == "folder" else word for word in found]


@unittest.skipUnless(shutil.which("fish"), "no fish here")
class Fish(Completions, unittest.TestCase):
    flag = staticmethod(lambda name: name)
    value = staticmethod(lambda flag: lambda word: f"{flag}={word}")

    def offers(self, line):
        sources = "; ".join(f"source {folder}/{name}.fish" for name in PROGRAMS)
        said = subprocess.run(["fish", "--no-config", "--command", f"{sources}; complete -C '{line}'"],
                              cwd=folder / "here", env={**os.environ, "HOME": str(folder)}, check=True,
                              capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(said.stderr, "")
        return [offer.partition("\t")[0] for offer in said.stdout.splitlines()]

    # Fish quotes what it offers when it writes it into the line.
    test_completed_files_are_quoted_and_completed_folders_go_on = None


class ManPages(unittest.TestCase):
    def lint(self, *command):
        if not shutil.which(command[0]):
            self.skipTest(f"no {command[0]} here")
        for name in PROGRAMS:
            said = subprocess.run([*command, folder / f"{name}.1"], capture_output=True, text=True)
            self.assertEqual((said.returncode, said.stderr), (0, ""), name)
            yield said.stdout

    def test_mandoc_finds_no_fault(self):
        for said in self.lint("mandoc", "-Tlint"):
            self.assertEqual(said, "")

    def test_groff_warns_of_nothing(self):
        for _ in self.lint("groff", "-man", "-ww", "-Tutf8"):
            pass

    def test_man_shows_them(self):
        for said in self.lint("man", "--warnings", "-l", "-Tutf8"):
            self.assertIn("EXIT STATUS", re.sub("(?s).\b", "", said))


if __name__ == "__main__":
    unittest.main()
