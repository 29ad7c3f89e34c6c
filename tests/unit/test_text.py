"""What people read: it fits, it is aligned, and it claims no more than the verdict does."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from incidents import DIED, GIB, MIB, NOW, asked_for, full, hard_exit, incident, segfault
from rich.cells import cell_len

from kerneld.model.evidence import growth_span_s
from kerneld.model.incident import ContainerPart, HostState, Incident, LoopPart, MemoryPart, UserPart
from kerneld.model.living import LivingState
from kerneld.model.process import ProcessKey
from kerneld.model.verdict import Killer
from kerneld.model.vocabulary import Cause, Confidence, Scope, State
from kerneld.outputs import json
from kerneld.outputs.causes import CAUSES, cause_page, causes_table
from kerneld.outputs.chart import HEIGHT, Mark, Picture, chart, sparkline
from kerneld.outputs.headline import BARE, PHRASES, what
from kerneld.outputs.incidents import incidents_table
from kerneld.outputs.kernels import kernels_table, seconds_to_limit
from kerneld.outputs.settings import settings_table
from kerneld.outputs.story import story
from kerneld.outputs.text import user_name
from kerneld.outputs.units import duration, of_limit, when
from kerneld.outputs.view import View

VIEW = View(NOW, UTC)
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=120)


def living(pid: int = 48213, **fields: object) -> LivingState:
    given: dict[str, object] = {
        "key": ProcessKey(boot_id="b", pid=pid, start_ticks=1),
        "at": NOW,
        "kernel_id": f"k{pid}",
        "state": "busy",
        "uid": 1001,
        "user_name": "alice",
        "notebook_path": "/home/alice/churn/train.ipynb",
        "kernel_name": "python3",
        "started_at": NOW - timedelta(hours=1),
        "rss_bytes": 2 * GIB,
        "limit_bytes": 4 * GIB,
        "growth_bytes_per_s": 80.0 * MIB,
        "execution_count": 7,
        "cell_started_at": NOW - timedelta(seconds=42),
        "samples": tuple((float(60 - second), second * 32 * MIB) for second in range(60)),
    }
    return LivingState.model_validate(given | fields)


@given(NAMES, st.integers(80, 200))
def test_every_page_and_list_fits_the_terminal(name: str, width: int) -> None:
    """However long or wide the names are, from 80 columns up, measured by another's rule."""
    view = View(NOW, UTC, width)
    one = full(text=name, user=UserPart(uid=1001, name=name))
    pages = [
        story(one, view),
        story(one.model_copy(update={"scope": Scope.SERVER, "kernels": (name,) * 9}), view),
        incidents_table([one, segfault(), hard_exit()], view),
        kernels_table([living(user_name=name, notebook_path=name, kernel_name=name)], view),
        settings_table([(name, name, name)], view),
    ]
    assert [line for page in pages for line in page.split("\n") if cell_len(line) > width] == []


@pytest.mark.parametrize("width", [80, 140])
def test_the_vocabulary_fits_the_terminal(width: int) -> None:
    view = View(NOW, UTC, width)
    pages = [causes_table(view), *(cause_page(cause, view) for cause in Cause)]
    assert [line for page in pages for line in page.split("\n") if cell_len(line) > width] == []


def test_every_cause_is_worded() -> None:
    assert set(CAUSES) == set(Cause)
    assert set(PHRASES) | set(BARE) == set(Cause)


def test_the_list_is_a_table_with_a_sentence() -> None:
    """The face that people see first, drawn."""
    told = incidents_table([hard_exit(), segfault(confidence=Confidence.POSSIBLE), incident()], VIEW)
    assert told.splitlines() == [
        " ID  WHEN            USER   NOTEBOOK           CAUSE        PEAK / LIMIT",
        " 41  Nov 18 09:12    carol  etl/load.ipynb     hard-exit         410 MiB",
        " 42  today 13:40 ×3  bob    bob/eda.ipynb      segfault?         312 MiB",
        " 43  today 14:03     alice  churn/train.ipynb  oom-cgroup  4.0 / 4.0 GiB",
        "? possible, not proven · ×n deaths in a row",
        "3 incidents of 3 users since Nov 18. The newest: kerneld show 43",
    ]


def test_deaths_of_one_loop_are_one_row_the_newest() -> None:
    first = segfault(1, died_at=DIED, loop=None)
    later = [
        segfault(
            number,
            died_at=DIED + timedelta(seconds=number),
            loop=LoopPart(id=first.uuid, count=number),
        )
        for number in (2, 3)
    ]
    deaths = [first, *later]
    told = incidents_table(deaths, VIEW)
    assert [row.split()[0] for row in told.splitlines()[1:2]] == ["3"]
    assert "3 incidents since today." in told


def test_what_is_not_settled_is_marked() -> None:
    assert "oom-cgroup …" in incidents_table([incident(state=State.PROVISIONAL)], VIEW)
    assert "incident 43, certain, provisional" in story(incident(state=State.PROVISIONAL), VIEW)


def test_what_was_asked_for_is_no_incident() -> None:
    assert "2 ends since" in incidents_table([asked_for(), incident()], VIEW)
    assert "end 40, certain" in story(asked_for(), VIEW)


@pytest.mark.parametrize(
    ("confidence", "said"),
    [
        (Confidence.CERTAIN, "ran out of memory"),
        (Confidence.LIKELY, "probably ran out of memory"),
        (Confidence.POSSIBLE, "may have run out of memory"),
    ],
)
def test_the_headline_is_no_surer_than_the_verdict(confidence: Confidence, said: str) -> None:
    assert what(incident(confidence=confidence)) == said
    assert f"churn/train.ipynb {said}" in story(incident(confidence=confidence), VIEW)


def test_a_kernel_that_shot_itself_was_killed_by_nobody_else() -> None:
    killer = Killer(pid=48213, how="self")
    told = incident(confidence=Confidence.LIKELY).model_copy(
        update={"cause": Cause.KILLED_BY_PROCESS, "killer": killer}
    )
    assert what(told) == "probably shot itself"
    by_another = told.model_copy(update={"killer": Killer(pid=7, how="signal-trace")})
    assert what(by_another) == "probably was killed by another process"


def test_growth_is_told_over_the_time_it_was_measured() -> None:
    assert growth_span_s(((3.2, 1), (0.0, 2))) == 3.2
    assert growth_span_s(((600.0, 1), (0.0, 2))) == 10


def test_a_kill_whose_sender_is_unseen_accuses_nobody() -> None:
    page = story(incident(cause=Cause.KILLED, confidence=Confidence.LIKELY), VIEW)
    assert "was killed, by whom was not seen" in page
    assert "SIGKILL, sender unseen" in page
    assert "by Linux" not in page


def test_the_page_tells_every_part_in_order() -> None:
    page = story(full(), VIEW)
    titles = [
        "churn/train.ipynb ran out of memory", "Cell [7] had run for 42 s", "died  ", "Memory",
        "Cell [7], 42 s into it", "Where it grew", "Stack, ", "Fault", "The largest processes then",
        "What to do", "Why we say so", "Against it", "Not looked at", "It could also be",
        "What happened",
    ]  # fmt: skip
    places = [page.find(title) for title in titles]
    assert -1 not in places
    assert places == sorted(places)


def test_the_guilty_line_is_marked_with_what_it_took() -> None:
    marked = [line for line in story(full(), VIEW).splitlines() if "▸" in line]
    assert len(marked) == 1
    assert marked[0].startswith(" ▸ 4      large_list.append(np.random.rand(1000))")
    assert marked[0].endswith("+3.6 GiB  97 %")


def test_of_a_long_cell_the_part_around_the_line_is_shown() -> None:
    source = "\n".join(f"step({number})" for number in range(1, 101))
    one = full()
    assert one.cell is not None
    page = story(
        one.model_copy(update={"cell": one.cell.model_copy(update={"source": source, "line": 50})}),
        VIEW,
    )
    shown = [number for number in range(1, 101) if f"step({number})" in page]
    assert shown == list(range(44, 57))
    assert "▸ 50  step(50)" in page


def test_withheld_code_says_why_it_is_not_there() -> None:
    one = full()
    assert one.cell is not None
    hidden = one.cell.model_copy(update={"source": None, "line": None, "code_policy": "hash"})
    assert "by the code policy `hash`" in story(one.model_copy(update={"cell": hidden}), VIEW)


def test_an_unknown_is_left_out_not_shown_as_zero() -> None:
    bare = incident(memory=MemoryPart(), notebook=None, kernel=None)
    page = story(bare, VIEW)
    assert "Memory" not in page
    assert "None" not in page
    assert "0 B" not in page
    assert "None" not in incidents_table([bare], VIEW)


def test_colour_only_underlines_the_words() -> None:
    """Take the colour away, and the same text is left."""
    plain, coloured = story(full(), VIEW), story(full(), View(NOW, UTC, colour=True))
    assert "\x1b" not in plain
    assert "\x1b[" in coloured
    for code in ("0", "1", "2", "31", "32", "33", "36"):
        coloured = coloured.replace(f"\x1b[{code}m", "")
    assert coloured == plain


def test_the_chart_ends_in_the_death_at_the_limit() -> None:
    rising = tuple((100.0 - second, second * 40 * MIB) for second in range(101))
    lines = chart(Picture(rising, 4 * GIB, 4 * GIB, (Mark(50.0, "[7]"),)), VIEW)
    assert len(lines) == HEIGHT + 1
    assert lines[0].startswith("4.0 GiB ┤")
    assert lines[0].endswith("✕")
    assert " limit " in lines[0]
    assert lines[-1].index("[7]") == pytest.approx(44, abs=3)
    assert lines[-1].split() == ["100", "s", "ago", "[7]", "death"]


def test_what_linux_counted_above_the_limit_stands_at_the_limits_own_label() -> None:
    """As it does in a memory cgroup, whose pages of files it counts to the process."""
    lines = chart(Picture(((3.0, 100 * MIB), (0.0, 300 * MIB)), 300 * MIB, 321 * MIB), VIEW)
    assert lines[0].startswith("300 MiB ┤")
    assert lines[0].endswith("✕")


def test_growth_stands_beside_its_line_on_a_wide_terminal() -> None:
    (line,) = (row for row in story(full(), View(NOW, UTC, 140)).splitlines() if "▸" in row)
    assert line.index("+3.6 GiB") < 96


def test_a_limit_that_was_never_near_does_not_flatten_the_chart() -> None:
    lines = chart(Picture(((10.0, 100 * MIB), (0.0, 300 * MIB)), 64 * GIB), VIEW)
    assert lines[0].startswith("300 MiB ┤")
    assert not any("limit" in line for line in lines)


@pytest.mark.parametrize("samples", [(), ((3.0, 5),), ((3.0, 5), (3.0, 6))])
def test_too_few_samples_draw_nothing(samples: tuple[tuple[float, int], ...]) -> None:
    assert chart(Picture(samples), VIEW) == []


def test_a_row_of_blocks_is_scaled_by_time() -> None:
    """A kernel that grows is sampled more often: 49 samples of its last second, 1 of those before."""
    second = tuple((1.0 - number / 50, 800 * MIB) for number in range(49))
    assert sparkline(((100.0, 100 * MIB), *second), 24) == "▁" * 22 + "██"


@given(
    st.lists(st.tuples(st.floats(-5, 1e6), st.integers(0, 1 << 50)), max_size=40),
    st.none() | st.integers(1, 1 << 50),
    st.lists(st.builds(Mark, st.floats(-10, 1e6), st.just("[123456]")), max_size=5),
)
def test_any_samples_draw_a_chart_that_fits(
    samples: list[tuple[float, int]], limit: int | None, marks: list[Mark]
) -> None:
    lines = chart(Picture(samples, limit, None, marks), VIEW)
    assert len(lines) in (0, HEIGHT + 1)
    assert all(cell_len(line) <= 80 for line in lines)


def test_the_living_are_listed_the_hungriest_last() -> None:
    idle = living(7, state="idle", rss_bytes=90 * MIB, growth_bytes_per_s=0.0, limit_bytes=None)
    told = kernels_table([living(), idle], VIEW).splitlines()
    assert told[1].split() == ["7", "alice", "…urn/train.ipynb", "idle", "90", "MiB"]
    assert told[2].split()[3:] == [
        "[7]",
        "42",
        "s",
        "2.0",
        "/",
        "4.0",
        "GiB",
        "+80",
        "MiB/s",
        "26",
        "s",
    ]
    assert told[3] == "2 kernels, 1 busy"


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 25.6),
        ({"tree_bytes": 3 * GIB}, 12.8),
        ({"rss_bytes": 5 * GIB}, 0.0),
        ({"growth_bytes_per_s": 1000.0}, None),
        ({"growth_bytes_per_s": -80.0 * MIB}, None),
        ({"limit_bytes": None}, None),
        ({"limit_bytes": 1 << 50}, None),
        ({"growth_bytes_per_s": None}, None),
    ],
)
def test_the_time_to_the_limit_is_told_where_it_is_near(
    changes: dict[str, object], seconds: float | None
) -> None:
    assert seconds_to_limit(living(**changes)) == seconds


def test_json_is_the_model() -> None:
    one = full()
    assert Incident.model_validate_json(json.document(one)) == one
    assert Incident.model_validate_json(json.line(one)) == one
    assert "".join(json.array([])) == "[]\n"


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (datetime(2026, 11, 21, 13, 3, tzinfo=UTC), "today 14:03"),
        (datetime(2026, 11, 20, 23, 30, tzinfo=UTC), "today 00:30"),
        (datetime(2026, 7, 1, 10, 0, tzinfo=UTC), "Jul 01 12:00"),
        (datetime(2025, 12, 1, 10, 0, tzinfo=UTC), "Dec 01 2025"),
    ],
    ids=["today", "past midnight here", "summer's own offset", "another year"],
)
def test_times_are_told_in_the_readers_zone(at: datetime, said: str) -> None:
    assert when(at, View(NOW, ZoneInfo("Europe/Berlin"))) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (0.0004, "0.001 s"), (0.41, "0.4 s"), (9.96, "10 s"), (42, "42 s"), (600, "10 min"),
     (7500, "2 h 5 min"), (7200, "2 h"), (273600, "3 d 4 h")],
)  # fmt: skip
def test_durations_are_told_in_two_units_at_most(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("held", "limit", "said"),
    [(4 * GIB, 4 * GIB, "4.0 / 4.0 GiB"), (410 * MIB, 4 * GIB, "410 MiB / 4.0 GiB"),
     (410 * MIB, None, "410 MiB"), (None, 4 * GIB, "")],
)  # fmt: skip
def test_sizes_share_their_unit(held: int | None, limit: int | None, said: str) -> None:
    assert of_limit(held, limit) == said


def test_limit_cell_and_forecast_are_whole_in_80_columns() -> None:
    far = living(4194304, rss_bytes=50 * MIB, limit_bytes=4 * GIB, growth_bytes_per_s=80.0 * MIB)
    title, row, _ = kernels_table([far], VIEW).splitlines()
    assert title.endswith("MEMORY / LIMIT     GROWTH  FULL IN")
    assert row.endswith("[7] 42 s     50 MiB / 4.0 GiB  +80 MiB/s     51 s")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("some avg10=41.20 full avg10=30.00", "memory pressure 41 %, 30 % for all"),
        ("some avg10=2.00 full avg10=0.10", "memory pressure 2 %"),
        ("some avg10=0.00 full avg10=0.00", None),
    ],
)
def test_memory_pressure_is_told_where_there_was_any(told: str, said: str | None) -> None:
    page = story(full(host_state=HostState(psi_memory=told)), View(NOW, UTC, 100))
    assert ("memory pressure" in page) is (said is not None)
    assert said is None or said in page


def test_a_name_that_a_user_made_up_does_not_stand_for_the_account() -> None:
    """JUPYTERHUB_USER is in the user's own hands; in a container the account says nothing."""
    posing = incident(user=UserPart(uid=1001, name="mallory", hub_name="root"))
    assert user_name(posing) == "mallory"
    assert "mallory (root, 1001)" in story(posing, VIEW)
    inside = incident(
        user=UserPart(uid=1000, name="jovyan", hub_name="ana"),
        container=ContainerPart(id="c", how="crio"),
    )
    assert user_name(inside) == "ana"
