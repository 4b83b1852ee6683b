"""The compiled pipelines against their summaries: what changes on a cluster is seen in a review."""

import difflib

import pytest

from tests.pipelines import golden


@pytest.mark.slow
def test_the_compiled_pipelines_are_those_of_the_summaries(tmp_path):
    found = golden.compile_all(tmp_path)
    kept = {path.stem: path.read_text(encoding="utf-8") for path in golden.FOLDER.glob("*.json")}
    differences = [
        line
        for name in sorted(found.keys() | kept.keys())
        for line in difflib.unified_diff(
            kept.get(name, "").splitlines(),
            found.get(name, "").splitlines(),
            f"tests/golden/pipelines/{name}.json",
            "as compiled now",
            n=1,
            lineterm="",
        )
    ]
    if differences:
        pytest.fail("\n".join([*differences, "", "If this is meant: make golden"]), pytrace=False)
