"""Makes report/report.pdf, and the figure of the README, of report/report.typ and the files in bench/results.

scripts/report.sh runs this in an environment of its own. `--draft` goes on where a sentence is not borne out by the
results, and marks it; `--pages DIR` also draws every page as a picture; `--check` makes a copy of the report that must
succeed, and then wrong ones that must not.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

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


def help_text():
    """What the program says of its options, from which the text takes defaults."""
    named = os.environ.get("PROXYHERD_BIN")
    program = [named] if named else ["cargo", "run", "--quiet", "--locked", "--package", "proxyherd", "--"]
    return subprocess.run([*program, "serve", "--help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout


def option(name):
    """What follows this option, if it is there."""
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv[:-1] else None


# What is wrong on purpose: a file, what stands there, what is put in its place, and what must be said of it.
PLANTED = (
    ("help", "[default: info]", "[default: debug]", "do not bear out"),
    ("help", "--client-name-bytes-max", "--name-bytes-max", "not in the help"),
    ("bench/results/faults.jsonl", '"lost":0.0', '"lost":1.0', "do not bear out"),
    ("bench/results/full.jsonl", '"suite":"grid"', '"suite":"other"', "what is not in the results: grid"),
    ("bench/results/full.jsonl", '"variant":"hyper"', '"variant":"other"', "what is not in the results: http"),
    ("bench/results/full.jsonl", '"paced2000_messages_per_update"', '"messages"', "messages_per_update of trees"),
    ("bench/results/full.jsonl", '"messages_expected":', '"messages_expected":1', "do not bear out"),
    ("bench/results/engines.jsonl", '"fjall, Buffer"', '"other"', "no results of the engine"),
    ("bench/results/crash.jsonl", '"Node"', '"other"', "what a crash costs Node"),
    ("bench/targets.toml", '"<= 1.1"', '"about 1"', "is no target"),
    ("src/database/redis/mod.rs", "CLUSTER_PARTS", "PARTS", "no longer in"),
    ("src/proto/peering/frames.rs", "FRAME_LINES_BYTES_MAX", "BYTES_MAX", "no longer in"),
)


def check(inputs):
    """Makes a copy of the report as it is, and one with each planted mistake, which must be refused."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for part in ("bench", "findings", "report", "scripts", "src"):
            shutil.copytree(ROOT / part, root / part, ignore=shutil.ignore_patterns("target"))

        def refusal(inputs):
            try:
                typst.compile(root / "report/report.typ", root=root, sys_inputs=inputs, ignore_system_fonts=True)
            except typst.TypstError as error:
                return str(error)

        refused = refusal(inputs)
        if refused:
            sys.exit(f"The report cannot be made: {refused}")
        for name, there, wrong, said in PLANTED:
            text = inputs["help"] if name == "help" else (root / name).read_text()
            assert there in text, f"{name} has no {there}"
            planted = text.replace(there, wrong)
            if name == "help":
                refused = refusal(inputs | {"help": planted})
            else:
                (root / name).write_text(planted)
                refused = refusal(inputs)
                (root / name).write_text(text)
            if not refused or said not in refused:
                sys.exit(f"{wrong} in {name} should be refused ({said}), but: {refused}")
    print(f"the report can be made, and {len(PLANTED)} planted mistakes are refused")


def main():
    pages = option("--pages")
    draft = "--draft" in sys.argv
    inputs = {
        "draft": "yes" if draft else "no",
        "lines": code_lines("src"),
        "rules": code_lines("src/proto"),
        "help": help_text(),
    }

    if "--check" in sys.argv:
        return check(inputs)

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
