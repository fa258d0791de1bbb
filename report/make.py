"""Makes report/report.pdf, and the figure of the README, of report/report.typ and the files in bench/results.

scripts/report.sh runs this in an environment of its own. `--draft` goes on where a sentence is not borne out by the
results, and marks it; `--of FILE` makes such a draft of another full run in bench/results; `--pages DIR` also draws
every page as a picture.
"""

import json
import pathlib
import re
import sys

import typst

ROOT = pathlib.Path(__file__).parent.parent


def code_lines(folder):
    """Lines of a folder's sources that are neither blank nor tests."""
    count = 0
    for path in sorted((ROOT / folder).rglob("*.rs")):
        inside = path.relative_to(ROOT / "src").parts
        if "tests" in inside or "tests.rs" in inside or "interleavings" in inside:
            continue
        code = re.split(r"#\[cfg\(test\)\]\nmod tests \{", path.read_text())[0]
        count += sum(1 for line in code.splitlines() if line.strip())
    return str(count)


def option(name):
    """What follows this option, if it is there."""
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv[:-1] else None


def main():
    other = option("--of")
    pages = option("--pages")
    draft = "--draft" in sys.argv or other is not None
    inputs = {
        "draft": "yes" if draft else "no",
        "full": other or "full.jsonl",
        "lines": code_lines("src"),
        "rules": code_lines("src/proto"),
    }

    # With fonts of its own only, the result is the same on every machine.
    common = {"root": ROOT, "sys_inputs": inputs, "ignore_system_fonts": True}

    def draw(source, target, **more):
        output = ROOT / target
        output.parent.mkdir(parents=True, exist_ok=True)
        typst.compile(ROOT / "report" / source, output=output, **common, **more)
        print(f"made {target}")

    try:
        draw("report.typ", "target/report/draft.pdf" if draft else "report/report.pdf")
        if draft:
            found = typst.query(ROOT / "report/report.typ", "<refuted>", field="value", **common)
            for sentence in json.loads(found):
                print(f"not borne out by the results: {' '.join(sentence.split())}")
        else:
            draw("readme.typ", "report/figures/grid.svg", format="svg")
        if pages:
            for page in (ROOT / pages).glob("page-*.png"):
                page.unlink()
            draw("report.typ", f"{pages}/page-{{0p}}.png", format="png", ppi=110)
    except typst.TypstError as error:
        what = str(error).removeprefix("panicked with: ").strip('"').replace('\\"', '"')
        sys.exit(f"The report was not made: {what}")


main()
