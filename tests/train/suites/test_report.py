"""The page of an evaluation: valid and readable for everybody, safe to open, and silent on texts unless asked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from justhtml import Element, JustHTML

from stillwatch.train.intervals import Interval
from stillwatch.train.suites.answers import Case, CaseGroup
from stillwatch.train.suites.evaluation import Evaluation, ScoredRecord
from stillwatch.train.suites.report import MAX_TEXT_CHARACTERS, render_report, write_report
from stillwatch.train.suites.report_cases import KEPT_LIMIT
from stillwatch.train.suites.report_charts import FPR_LIMIT
from stillwatch.train.suites.report_drawing import Scale
from stillwatch.train.suites.report_palette import GROUNDS, MARKS, WORDS, Colour
from stillwatch.train.suites.report_records import MAX_ROWS, RecordShelf
from stillwatch.train.suites.report_wording import compare_peers, reveal, tell_finding
from stillwatch.train.summary import by_slice

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>{{ 7 * 7 }}'
TEXTS = {str(number): f"Please show <b>every</b> step of task {number}." for number in range(24)}


def parse(html: str) -> JustHTML:
    """The page; refuses what is no valid HTML."""
    return JustHTML(html, strict=True, sanitize=False)


@pytest.fixture(scope="module")
def html(evaluation: Evaluation) -> str:
    return render_report(evaluation)


@pytest.fixture(scope="module")
def page(html: str) -> JustHTML:
    return parse(html)


def find(root: Element | JustHTML, selector: str) -> list[Element]:
    return [found for found in root.query(selector) if isinstance(found, Element)]


def attribute(element: Element, name: str) -> str:
    return (element.attrs or {}).get(name) or ""


def words(element: Element | JustHTML) -> str:
    return " ".join(element.to_text().split())


def rename(evaluation: Evaluation, name: str) -> Evaluation:
    """The evaluation with every string that comes from rows, files or users replaced."""
    records = tuple(
        replace(r, id=f"{name}{r.id}", family=f"{name}{r.family}", source=name, language=name)
        for r in evaluation.records
    )
    labels = [int(record.label == "extraction") for record in records]
    systems = tuple(
        replace(
            system,
            name=f"{name}{number}",
            version=name,
            notes=(name,),
            slices={
                dimension: by_slice(
                    labels,
                    [record.scores[number] for record in records],
                    [record.family for record in records],
                    [getattr(record, dimension) for record in records],
                    thresholds=system.metrics.thresholds,
                    seed=1,
                    num_replicates=20,
                )
                for dimension in ("source", "language", "family")
            },
        )
        for number, system in enumerate(evaluation.systems)
    )
    case = Case("c", "sources", name, (name,), (name,), ())
    return replace(
        evaluation,
        suite=name,
        title=name,
        data=replace(evaluation.data, name=name),
        systems=systems,
        cases=(case,),
        records=records,
        provenance={name: name},
    )


def test_the_page_is_valid_html_in_every_shape(evaluation: Evaluation, html: str) -> None:
    parse(html)
    parse(render_report(evaluation, TEXTS))
    parse(render_report(replace(evaluation, systems=evaluation.systems[:1], cases=())))
    parse(render_report(rename(evaluation, HOSTILE + "\x00\x1b\ud800\ufffe\u202e")))


def test_ids_are_unique_and_links_lead_to_them(evaluation: Evaluation) -> None:
    page = parse(render_report(evaluation, TEXTS))
    ids = [attribute(element, "id") for element in find(page, "[id]")]
    assert len(ids) == len(set(ids))
    links = [attribute(link, "href") for link in find(page, "a")]
    assert links
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_the_page_asks_for_nothing_from_outside_and_runs_no_script(html: str, page: JustHTML) -> None:
    assert not find(page, "script, link, iframe, object, embed, img, form, base")
    assert not find(page, "[src], [srcset], [action], [onclick], [onload], [onerror]")
    assert not re.search(r"https?:|url\(|@import|javascript:", html)
    (policy,) = [m for m in find(page, "meta") if attribute(m, "http-equiv") == "Content-Security-Policy"]
    assert attribute(policy, "content") == "default-src 'none'; style-src 'unsafe-inline'"


def test_the_page_has_a_language_a_title_landmarks_and_headings_in_order(page: JustHTML) -> None:
    assert attribute(find(page, "html")[0], "lang") == "en"
    assert words(find(page, "title")[0]) == "tiny-1 on rows.jsonl: evaluation"
    for landmark in ("header", "nav", "main", "footer"):
        assert len(find(page, landmark)) == 1
    assert attribute(find(page, "nav")[0], "aria-label")
    levels = [int(heading.name[1]) for heading in find(page, "h1, h2, h3, h4, h5, h6")]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_table_has_a_caption_and_heads_with_a_scope(page: JustHTML) -> None:
    tables = find(page, "table")
    assert len(tables) > 5
    for table in tables:
        assert words(find(table, "caption")[0])
        assert all(attribute(head, "scope") in ("col", "row") for head in find(table, "th"))
        assert all(len(find(row, "th")) >= 1 for row in find(table, "tr"))


def test_every_picture_states_its_finding_or_is_hidden_as_an_ornament(page: JustHTML) -> None:
    pictures = find(page, "svg")
    told = [attribute(svg, "aria-label") for svg in pictures if attribute(svg, "role") == "img"]
    assert len(told) + sum(attribute(svg, "aria-hidden") == "true" for svg in pictures) == len(pictures)
    assert all(re.search(r"\d", words) for words in told)
    assert any(each.startswith("ROC curves. At 1% false alarms: tiny-1 83.3% [") for each in told)


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2.2."""
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def mix(a: str, b: str, share: float) -> str:
    """`share` of `a` over `b`, as `color-mix` in sRGB does."""
    return "#" + "".join(
        f"{round(share * int(a[i : i + 2], 16) + (1 - share) * int(b[i : i + 2], 16)):02x}" for i in (1, 3, 5)
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_and_marks_stand_out_from_every_ground(theme: str) -> None:
    def pick(colours: Mapping[str, Colour]) -> list[str]:
        return [getattr(colour, theme) for colour in colours.values()]

    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    for ground in pick(GROUNDS):
        assert min(contrast(word, ground) for word in pick(WORDS)) >= 4.5
        assert min(contrast(mark, ground) for mark in pick(MARKS)) >= 3
    ink, ground, tint = (getattr(colour, theme) for colour in (WORDS["ink"], GROUNDS["ground"], MARKS["extraction"]))
    assert contrast(ink, mix(tint, ground, 0.35)) >= 4.5  # the fullest cell of the confusion table


def test_both_themes_and_paper_are_styled(html: str) -> None:
    for part in ("prefers-color-scheme: dark", "@media print", "details::details-content", "color-scheme: light dark"):
        assert part in html


def test_strings_from_rows_and_users_are_words_and_nothing_else(evaluation: Evaluation) -> None:
    page = parse(render_report(rename(evaluation, HOSTILE), {f"{HOSTILE}{i}": HOSTILE for i in range(24)}))
    assert not find(page, "img, script")
    assert "{{ 7 * 7 }}" in words(page)
    assert HOSTILE in words(find(page, "pre")[0])


def test_signs_that_are_not_seen_are_written_as_their_number() -> None:
    assert reveal("a\u202eb\u200bc\x07\r\nd\te\ud800\ufffe") == "a[U+202E]b[U+200B]c[U+0007]\nd\te[U+D800][U+FFFE]"
    honest = "\u0645\u06cc\u200c\u062e 👩\u200d💻 naïve 日本\n"  # joiners of Persian and of an emoji
    assert reveal(honest) == honest


def test_no_text_stands_in_the_page_unless_it_is_handed_over(evaluation: Evaluation, html: str) -> None:
    assert "embeds" not in html
    assert "Please show" not in html
    page = parse(render_report(evaluation, TEXTS))
    (warning,) = find(page, ".warning")
    assert "embeds texts of requests" in words(warning)
    shown = find(page, "details.text")
    assert len(shown) == 24
    assert not find(page, "details[open]")
    assert "Please show <b>every</b> step of task" in words(shown[0])


def test_only_texts_of_listed_records_are_embedded_and_long_ones_are_cut_aloud(evaluation: Evaluation) -> None:
    page = parse(render_report(evaluation, {"3": "x" * (MAX_TEXT_CHARACTERS + 5), "unknown": "never listed"}))
    (shown,) = find(page, "details.text")
    assert "5 more characters not shown." in words(shown)
    assert "never listed" not in words(page)


def test_the_finding_gives_the_rate_its_interval_and_who_is_not_told_apart(evaluation: Evaluation, html: str) -> None:
    finding = tell_finding(evaluation, compare_peers(evaluation))
    assert re.match(r"tiny-1 catches 83\.3% \[\d+, 100\] of the extraction requests of 4 families at 1% ", finding)
    assert finding.endswith("at 1% it is not told apart from peer.")
    assert finding in html
    alone = replace(evaluation, systems=evaluation.systems[:1])
    assert "told apart" not in tell_finding(alone, compare_peers(alone))


def many(evaluation: Evaluation, number: int) -> tuple[ScoredRecord, ...]:
    return tuple(replace(evaluation.records[0], id=f"r{i:03}", scores=(i / number, 0.0)) for i in range(number))


def test_a_table_lists_the_highest_benign_and_the_lowest_extraction_first_and_counts_the_rest(
    evaluation: Evaluation,
) -> None:
    shelf = RecordShelf(evaluation, {"r000": "text"})
    rows = many(evaluation, MAX_ROWS + 7)
    lowest, highest = (shelf.list_records(rows, lowest_first=first) for first in (True, False))
    assert [row.id for row in lowest.rows[:2]] == ["r000", "r001"]
    assert [row.id for row in highest.rows[:2]] == ["r056", "r055"]
    assert len(lowest.rows) == len(highest.rows) == MAX_ROWS
    assert lowest.rest == "7 more records of this slice not shown."
    assert shelf.list_records(rows[:3], lowest_first=True).rest == ""
    assert lowest.rows[0].anchor == "text-1"
    assert not lowest.rows[1].anchor


def test_a_changed_record_shows_its_score_before_and_after(evaluation: Evaluation) -> None:
    group = evaluation.cases[0].groups[1]
    table = RecordShelf(evaluation, {}).list_group(group, is_extraction=True)
    before, after, drop = (table.numbers.index(name) for name in ("score before", "score after", "drop"))
    first = table.rows[0]
    assert first.id == "12"
    cells = first.cells[len(table.words) :]
    assert (cells[before], cells[after], cells[drop]) == ("0.3", "0.2", "0.1")
    assert not RecordShelf(evaluation, {}).list_group(group, is_extraction=False).rows


def test_a_system_that_could_not_be_asked_leaves_a_case_without_a_chart(evaluation: Evaluation) -> None:
    case = evaluation.cases[0]
    groups = tuple(
        replace(group, scores=((), group.scores[1]), rates=tuple(r for r in group.rates if r.system == "peer"))
        for group in case.groups
    )
    page = parse(render_report(replace(evaluation, cases=(replace(case, groups=groups),))))
    assert "Nothing was measured of the first system here." in words(page)
    assert "typos (strength 0.5)" in words(page)


def test_what_a_suite_asks_for_and_rows_lack_is_told(page: JustHTML) -> None:
    assert "Asked for, but not in these rows: manuals." in words(page)


@pytest.mark.parametrize(
    ("rate", "told"),
    [
        (Interval(0.0, 0.01, 0.03), "below 5%"),
        (Interval(0.0, 0.01, 0.09), "below 5%, not surely"),
        (Interval(0.02, 0.08, 0.2), "above 5%, not surely"),
        (Interval(0.06, 0.08, 0.2), "above 5%"),
    ],
)
def test_a_false_alarm_rate_is_judged_by_its_interval(rate: Interval, told: str) -> None:
    assert FPR_LIMIT.judge(rate) == told
    assert FPR_LIMIT.is_broken(rate.value) is told.startswith("above")


def test_a_kept_share_is_judged_from_the_other_side() -> None:
    assert KEPT_LIMIT.judge(Interval(0.5, 0.7, 0.9)) == "below 80%, not surely"
    assert KEPT_LIMIT.judge(Interval(0.85, 0.9, 1.0)) == "above 80%"
    assert not KEPT_LIMIT.is_broken(0.8)


def test_the_adversarial_chart_names_what_falls_below_its_line(page: JustHTML) -> None:
    assert "2 of 2 are below 80%, 0 with the whole interval: typos (strength 0.5) 66.7% [40, 90]" in words(page)


def test_a_logarithmic_scale_gives_equal_ratios_equal_room_and_holds_what_lies_outside() -> None:
    scale = Scale(0.001, 1, 0, 300, is_log=True)
    assert [scale.place(value) for value in (0.001, 0.01, 0.1, 1)] == [0, 100, 200, 300]
    assert scale.place(0) == 0
    assert not scale.holds(0)


def test_the_limits_tell_what_few_benign_records_cannot_resolve(evaluation: Evaluation, page: JustHTML) -> None:
    assert "12 benign records cannot resolve 0.1% false alarms" in words(page)
    first = replace(evaluation.first, metrics=replace(evaluation.first.metrics, num_benign=1000))
    enough = parse(render_report(replace(evaluation, systems=(first, *evaluation.systems[1:]))))
    assert "cannot resolve" not in words(enough)


def test_a_page_of_fitted_systems_says_that_families_were_held_out(evaluation: Evaluation, page: JustHTML) -> None:
    assert "Only a system's own word tells what it was trained on" in words(page)
    fitted = words(parse(render_report(replace(evaluation, kind="training"))))
    assert "scored records of families that it was not fitted on" in fitted


def test_provenance_stands_in_the_page_without_the_name_of_a_user(evaluation: Evaluation) -> None:
    known = replace(evaluation, provenance={"git.commit": "c0ffee", "mlflow.user": "somebody"})
    told = words(find(parse(render_report(known)), "dl")[0])
    for fact in (evaluation.data.digest, evaluation.suite_digest, "c0ffee", "tiny-1-0a1b", evaluation.created):
        assert fact in told
    assert "somebody" not in told


def test_records_set_aside_open_to_their_ids(evaluation: Evaluation) -> None:
    odd = replace(evaluation.records[3], id="odd-one", label="ambiguous", technique=None, visibility=None)
    aside = by_slice([0], [0.1], ["f"], ["ambiguous"], thresholds=evaluation.first.metrics.thresholds, seed=1)
    first = replace(evaluation.first, aside=aside)
    given = replace(evaluation, records=(*evaluation.records, odd), systems=(first, *evaluation.systems[1:]))
    assert "odd-one" in words(parse(render_report(given)))


def test_ambiguous_cases_stand_with_what_is_set_aside(evaluation: Evaluation) -> None:
    rates = tuple(
        replace(rate, is_extraction=False, clean=None, kept=None, score_drop=None)
        for rate in evaluation.cases[0].groups[0].rates
    )
    group = CaseGroup("source-0", None, None, ("0", "1"), (), rates)
    case = Case("unclear", "ambiguous", "Neither one nor the other", (), (), (group,))
    html = render_report(replace(evaluation, cases=(case,)))
    assert "Cases of the suite" not in html
    assert html.index('id="aside"') < html.index("Neither one nor the other")


def test_a_report_is_written_where_it_is_asked_for(evaluation: Evaluation, html: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    write_report(evaluation, path)
    assert path.read_text("utf-8") == html
