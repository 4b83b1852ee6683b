from decloud_lib.learning import tables

ROWS: tables.Rows = [
    ("rule", "mean", "better in"),
    ("a rule", "+1.5e-05", "40%"),
    ("b", "", "nan%"),
]


def test_numbers_stand_on_the_right_and_texts_on_the_left() -> None:
    assert tables.markdown_rows(ROWS).splitlines()[1] == "|---|---:|---:|"
    page = tables.html_page("1 < 2", {"A table": ROWS, "without lines": ROWS[:1]})
    assert "<h1>1 &lt; 2</h1>" in page
    assert "<th>a rule</th><td class=n>+1.5e-05</td><td class=n>40%</td>" in page
    assert "without lines" not in page
