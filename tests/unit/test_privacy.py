"""What is stored of the user's code under each policy, and that secrets are stored under none."""

import random
import string
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic.fields import FieldInfo

from kerneld.model.base import Record, Withheld
from kerneld.model.case import Case
from kerneld.model.cells import FinishedCell
from kerneld.model.growth import Frame, GrowthLine, StackPart
from kerneld.model.host import Host
from kerneld.model.incident import (
    Advice,
    CellPart,
    ExitPart,
    Incident,
    ProcessPart,
    UserPart,
)
from kerneld.model.living import LivingState, TrackedLife
from kerneld.model.process import Process, ProcessKey
from kerneld.model.said import CellFailed, CellStarted, CodeFacts, KernelStatus
from kerneld.model.story import timeline
from kerneld.model.vocabulary import Category, Cause, CodePolicy, Confidence, ExitHow, State
from kerneld.privacy import KEPT, mask_secrets, tightened, withhold

AT = datetime(2026, 5, 4, 3, 2, 1, 7, tzinfo=UTC)
MARKER = {kind: f"marker-of-a-{kind}" for kind in ("source", "line", "digest", "value", "name")}


def a_finished_cell() -> FinishedCell:
    return FinishedCell(
        started_at=AT,
        duration_s=1.0,
        code=MARKER["line"],
        sha256=MARKER["digest"],
        error=MARKER["name"],
    )


def an_incident() -> Incident:
    line = MARKER["line"]
    return Incident(
        uuid="u",
        category=Category.MEMORY,
        cause=Cause.OOM_HOST,
        confidence=Confidence.CERTAIN,
        state=State.SETTLED,
        died_at=AT,
        detected_at=AT,
        recorded_at=AT,
        host=Host(name="h", boot_id="b", linux_release="6.1"),
        process=ProcessPart(pid=1, comm="python", start_ticks=1, ppid=1),
        user=UserPart(uid=1000),
        exit=ExitPart(how=ExitHow.PIDFD),
        summary="s",
        cell=CellPart(source=MARKER["source"], sha256=MARKER["digest"], line=3),
        cells=(a_finished_cell(),),
        growth_lines=(GrowthLine(code=line, bytes=1, share=1.0, line=3),),
        stack=StackPart(at=AT, frames=(Frame(function="f", file="x", code=line),)),
        advice=(Advice(id="a", title="t", text="x", code=line),),
    )


def a_case() -> Case:
    cell = CellStarted(
        at=AT,
        handle=1,
        source=MARKER["source"],
        sha256=MARKER["digest"],
        code=CodeFacts(calls_exit=True),
    )
    key = ProcessKey(boot_id="b", pid=1, start_ticks=1)
    process = Process(key=key, comm="python", ppid=1, pgid=1, sid=1, uid=1000, started_at=AT)
    return Case(
        uuid="u",
        host=Host(name="h", boot_id="b", linux_release="6.1"),
        process=process,
        died_at=AT,
        detected_at=AT,
        watched_since=AT,
        boot_id_now="b",
        session=(
            KernelStatus(at=AT, handle=1, state="busy"),
            cell,
            CellFailed(at=AT, handle=1, name=MARKER["name"], value=MARKER["value"]),
        ),
        last_cell=cell,
        recalled_cell=cell,
        cells=(a_finished_cell(),),
    )


@pytest.mark.parametrize("policy", list(CodePolicy))
@pytest.mark.parametrize("record", [an_incident(), a_case()], ids=["incident", "case"])
def test_nothing_that_the_policy_withholds_is_in_the_json(record: Record, policy: CodePolicy) -> None:
    """Neither in an incident nor deep in a case's session; what may be kept is kept."""
    before, after = record.model_dump_json(), withhold(record, policy).model_dump_json()
    for kind, marker in MARKER.items():
        assert (marker in after) == (kind in KEPT[policy] and marker in before), kind


@pytest.mark.parametrize("policy", list(CodePolicy))
def test_what_is_stored_can_be_read_again(policy: CodePolicy) -> None:
    for record in (an_incident(), a_case()):
        stored = withhold(record, policy)
        assert type(record).model_validate_json(stored.model_dump_json()) == stored


def test_rules_need_no_code_to_judge_a_stored_case() -> None:
    """The pattern facts stay under the tightest policy."""
    case = withhold(a_case(), CodePolicy.OFF)
    assert case.last_cell is not None
    assert case.last_cell.code.calls_exit


def test_a_cell_says_the_tightest_policy_it_went_through() -> None:
    once = withhold(an_incident(), CodePolicy.HASH)
    assert once.cell is not None
    assert once.cell.code_policy == "hash"
    twice = withhold(once, CodePolicy.FULL)
    assert twice.cell is not None
    assert twice.cell.code_policy == "hash"


def test_a_record_without_code_comes_back_as_it_is() -> None:
    host = Host(name="h", boot_id="b", linux_release="6.1")
    assert withhold(host, CodePolicy.OFF) is host


# ------------------------------------------------------------- the model itself

STORED: tuple[type[Record], ...] = (Incident, Case, TrackedLife, LivingState)
NAMES_OF_CODE = {"source", "code", "value", "sha256", "digest", "snippet", "text", "lines", "cell"}
NO_CODE = {
    ("Evidence", "source"): "which source said it",
    ("Evidence", "text"): "a quotation of a log, or words of kerneld's own",
    ("Blind", "source"): "which source could not be read",
    ("TimelineEntry", "source"): "which source said it",
    ("TimelineEntry", "text"): "words of kerneld's own",
    ("Advice", "text"): "words of kerneld's own",
}


def reachable(*roots: type[Record]) -> set[type[Record]]:
    found: set[type[Record]] = set()
    todo = list(roots)
    while todo:
        record = todo.pop()
        if record not in found:
            found.add(record)
            for field in record.model_fields.values():
                parts = pieces(field.annotation)
                todo += [p for p in parts if isinstance(p, type) and issubclass(p, Record)]
    return found


def pieces(annotation: object) -> list[object]:
    return [annotation, *(part for arg in get_args(annotation) for part in pieces(arg))]


def fields() -> Iterator[tuple[str, str, FieldInfo, list[object]]]:
    for record in sorted(reachable(*STORED), key=lambda r: r.__name__):
        for name, field in record.model_fields.items():
            yield record.__name__, name, field, [*field.metadata, *pieces(field.annotation)]


def test_the_walk_reaches_the_depths_of_the_model() -> None:
    names = {record.__name__ for record in reachable(*STORED)}
    assert {
        "Frame",
        "GrowthLine",
        "CellStarted",
        "CellFailed",
        "FinishedCell",
        "LogEvent",
        "Connection",
    } <= names


def test_every_field_that_can_hold_code_is_marked() -> None:
    """A new field named like code must be marked, or be excused above with a reason."""
    unmarked = [
        (record, name)
        for record, name, _, parts in fields()
        if name in NAMES_OF_CODE and str in parts and not any(isinstance(p, Withheld) for p in parts)
    ]
    assert sorted(NO_CODE) == sorted(unmarked)


def test_the_class_of_an_exception_is_marked_wherever_it_is_stored() -> None:
    """A cell can define a class of any name, of up to 256 bytes."""
    marked = {(r, n) for r, n, _, parts in fields() if Withheld("name") in parts}
    assert ("CellFailed", "name") in marked


@pytest.mark.parametrize("policy", list(CodePolicy))
@pytest.mark.parametrize("name", ["MemoryError", "KeyboardInterrupt", "OutOfMemoryError", "Exception"])
def test_a_well_known_exception_is_named_under_every_policy(name: str, policy: CodePolicy) -> None:
    failed = withhold(CellFailed(at=AT, handle=1, name=name), policy)
    assert failed.name == name


def test_the_story_of_a_death_names_no_class_that_a_user_made_up() -> None:
    """It is words of kerneld's own: no policy withholds anything from it later."""
    told = " ".join(entry.text for entry in timeline(a_case()))
    assert "a cell failed (an exception)" in told
    assert MARKER["name"] not in told


@pytest.mark.parametrize("policy", list(CodePolicy))
@pytest.mark.parametrize(
    ("wish", "understood"),
    [
        ("off", CodePolicy.OFF),
        ("OFF", CodePolicy.OFF),
        (" Hash\n", CodePolicy.HASH),
        ("off\n", CodePolicy.OFF),
        ("full", CodePolicy.FULL),
        ("no", CodePolicy.OFF),
        ("0", CodePolicy.OFF),
        ("", CodePolicy.OFF),
    ],
)
def test_a_users_wish_tightens_and_fails_closed(
    policy: CodePolicy, wish: str, understood: CodePolicy
) -> None:
    order = list(CodePolicy)
    assert tightened(policy, wish) is order[max(order.index(policy), order.index(understood))]
    assert tightened(policy, None) is policy


def test_every_marked_field_may_be_missing() -> None:
    """What is withheld becomes null: a marked field that must be there could not be read again."""
    for record, name, field, parts in fields():
        if any(isinstance(part, Withheld) for part in parts):
            assert type(None) in parts, f"{record}.{name}"
            assert not field.is_required(), f"{record}.{name}"


# ------------------------------------------------------------- secrets

WORD = string.ascii_letters + string.digits
HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + string.digits
# generated, never real: prefix, alphabet, length
TOKENS = [
    ("AKIA", UPPER, 16), ("ASIA", UPPER, 16), ("ghp_", WORD, 36), ("gho_", WORD, 36),
    ("ghu_", WORD, 36), ("ghs_", WORD, 36), ("ghr_", WORD, 36), ("github_pat_", WORD, 82),
    ("glpat-", WORD, 20),
    ("gldt-", WORD, 20), ("glrt-", WORD, 20), ("glptt-", HEX, 40), ("xoxb-", WORD, 40),
    ("xoxp-", WORD, 60), ("xapp-1-", WORD, 60), ("sk-", WORD, 48), ("sk-proj-", WORD, 80),
    ("sk-ant-api03-", WORD, 90), ("sk-or-v1-", HEX, 64), ("sk_" + "live_", WORD, 24),
    ("rk_" + "live_", WORD, 24), ("whsec_", WORD, 32), ("AIza", WORD, 35), ("ya29.", WORD, 60),
    ("GOCSPX-", WORD, 28), ("hf_", WORD, 34), ("npm_", WORD, 36), ("r8_", WORD, 37), ("sbp_", HEX, 40),
    ("nvapi-", WORD, 64), ("gsk_", WORD, 52), ("glc_", WORD, 40), ("glsa_", WORD, 32),
    ("lin_api_", WORD, 40), ("ntn_", WORD, 43), ("secret_", WORD, 43), ("dop_v1_", HEX, 64),
    ("shpat_", HEX, 32), ("dckr_pat_", WORD, 27), ("sntrys_", WORD, 60), ("pypi-AgEI", WORD, 80),
    ("dapi", HEX, 32), ("hvs.", WORD, 24), ("PMAK-", HEX, 34), ("NRAK-", UPPER, 27), ("SK", HEX, 32),
    ("key-", HEX, 32), ("1234567890:AA", WORD, 33), ("", HEX, 40), ("", HEX, 64),
]  # fmt: skip
PLACES = [
    "client = Client({!r})",
    "# old: {}",
    "%env SERVICE={}",
    "url = 'https://example.org/api?q=1&x={}'",
]


def tokens() -> list[tuple[str, str]]:
    """(a token's random part, a line of code with the token)."""
    dice = random.Random(20260504)
    made = []
    for prefix, letters, length in TOKENS:
        for place in PLACES:
            body = "7" + "".join(dice.choice(letters) for _ in range(length - 1))
            made.append((body, place.format(prefix + body)))
    return made


def test_two_hundred_tokens_are_looked_for_and_none_is_found() -> None:
    found = [line for body, line in tokens() if body in mask_secrets(line)]
    assert len(tokens()) == 200
    assert found == []


def test_no_token_reaches_a_stored_incident() -> None:
    lines = tokens()
    incident = an_incident().model_copy(
        update={
            "cell": CellPart(source="\n".join(line for _, line in lines)),
            "growth_lines": tuple(GrowthLine(code=line, bytes=1, share=0) for _, line in lines),
        }
    )
    stored = withhold(incident, CodePolicy.FULL).model_dump_json()
    assert [body for body, _ in lines if body in stored] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('password = "hunter2"', 'password = "***"'),
        ('DB_PASSWORD: str = "hunter2"', 'DB_PASSWORD: str = "***"'),
        ("connect(host='h', passwd='x y')", "connect(host='h', passwd='***')"),
        ('cfg = {"api_key": "abc"}', 'cfg = {"api_key": "***"}'),
        ('os.environ["HUB_TOKEN"] = f"abc{x}"', 'os.environ["HUB_TOKEN"] = "***"'),
        ('os.environ.setdefault("TOKEN", "abc")', 'os.environ.setdefault("TOKEN", "***")'),
        ("secret = '''a\nb'''", "secret = '''***'''"),
        ("%env TOKEN=abc123", "%env TOKEN=***"),
        ("password: hunter2", "password: ***"),
        ("!tool --password hunter2 in.csv", "!tool --password *** in.csv"),
        ("!curl -u me:pass https://x", "!curl -u me:*** https://x"),
        ("create_engine('postgresql://me:pw@db/x')", "create_engine('postgresql://me:***@db/x')"),
        ("get(u, auth=('me', 'pw'))", "get(u, auth=('me', '***'))"),
        ("'Authorization': 'Bearer abcdefgh1'", "'Authorization': 'Bearer ***'"),
        ("'AccountName=a;AccountKey=abc==;x=1'", "'AccountName=a;AccountKey=***;x=1'"),
        ("https://b/c?sv=1&sig=abcd%2F", "https://b/c?sv=1&sig=***"),
        ("k = '-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----'", "k = '***'"),
        ("k = '-----BEGIN PRIVATE KEY-----\nMIIcut off", "k = '***"),
        ("x = 'aB3dE5gH7jK9mN1pQ3sT5'", "x = '***'"),
    ],
    ids=lambda value: value[:24],
)
def test_secrets_are_masked_where_they_stand(text: str, expected: str) -> None:
    assert mask_secrets(text) == expected


@pytest.mark.parametrize(
    "code",
    [
        "df = pd.read_csv('data/2024/Results/Experiment1a_final.csv')",
        "x = compute_HTTPResponse2_average_by_user(df)",
        "generate(max_tokens=4096, tokenizer='bert-base-uncased')",
        "token = get_token2()",
        "secret = tokens[0]",
        "password = ''",
        "df.sort_values(key='abc')",
        "AutoModelForSequenceClassification.from_pretrained('distilbert-base-uncased')",
        "torch.load('checkpoint-2024-01-05T10-33-21Z.pt')",
        "x = np.zeros((100_000, 50_000))",
    ],
)
def test_ordinary_code_stays_as_it_is(code: str) -> None:
    assert code == mask_secrets(code)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="aA1 =:\"'/@-_.+\\\n([{,tokenpasswordkey", max_size=400))
def test_no_text_breaks_the_masking(text: str) -> None:
    assert "hunter2" not in mask_secrets(text + '\npassword = "hunter2"')


@pytest.mark.parametrize(
    "unit",
    ["a", "password ", 'password="', "-----BEGIN PRIVATE KEY-----", "eyJa.", "-", "auth('", "a:"],
)
def test_a_hostile_cell_costs_no_more_than_its_length(unit: str) -> None:
    """64 kB take 30 ms; a pattern that backtracks would take minutes, and the owner waits for it."""
    text = unit * (65_536 // len(unit))
    began = time.process_time()
    mask_secrets(text)
    assert time.process_time() - began < 3
