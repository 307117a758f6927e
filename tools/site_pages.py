"""A hook of MkDocs (mkdocs.yml): the site has the documents of the whole repository, under the paths that they have
there, so that their links to each other hold in both places. Files that they link to are copied into the site;
links to folders become plain text."""

import pathlib
import re
import subprocess

from mkdocs.structure.files import File, Files

ROOT = pathlib.Path(__file__).resolve().parents[1]
LINK = re.compile(r"(?<!!)\[([^\]\n]*)\]\(([^)\s#:]+)\)")


def on_files(files, config):
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.md", "docs/images", "docs/plots"], cwd=ROOT,
                           check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    wanted = set(names)
    for name in names:
        if name.endswith(".md"):
            for _, link in LINK.findall((ROOT / name).read_text()):
                target = (ROOT / name).parent / link
                if target.is_file() and target.resolve().is_relative_to(ROOT):
                    wanted.add(str(target.resolve().relative_to(ROOT)))
    theme = [file for file in files if not file.abs_src_path or not file.abs_src_path.startswith(config.docs_dir)]
    ours = [File(name, str(ROOT), config.site_dir, config.use_directory_urls) for name in sorted(wanted)]
    return Files(theme + ours)


def on_page_markdown(markdown, page, config, files):
    folder = (ROOT / page.file.src_uri).parent

    def without_folders(match):
        return match.group(1) if (folder / match.group(2)).is_dir() else match.group(0)

    return LINK.sub(without_folders, markdown)
