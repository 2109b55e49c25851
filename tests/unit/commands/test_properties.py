"""What holds for the aggregates whatever is done to them, in whatever order."""

import itertools
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import msgspec
from hypothesis import given, settings

from commands import HANDLERS
from commands.account import (
    GrantVip,
    RegisterAccount,
    UpdateAccountDetails,
    UpdateAccountInfo,
    UploadAvatar,
    WithdrawVip,
)
from commands.garment import ListGarment
from commands.render import (
    CancelRender,
    CompleteRender,
    FailAttempt,
    RemoveFile,
    RequestRender,
    RequeueRender,
    RetryRender,
    StartRender,
)
from domain import account, garment, render
from domain.errors import AtelierError
from domain.garment import GarmentListed
from domain.picture import ApparelDetails, ImageOptions, UserDetails
from domain.render import (
    MAX_ATTEMPTS,
    RenderCancelled,
    RenderCompleted,
    RenderFailed,
    RenderFileRemoved,
    RenderRequeued,
    RenderStarted,
    Requested,
)
from tests.support.scenario import (
    ACCOUNT,
    TASK,
    avatar_uploaded,
    garment_details,
    source,
    thumbnail,
)

ENDS = (RenderCompleted, RenderFailed, RenderCancelled)


def execute(commands, initial):
    """Carry commands out one after the other; gives the state and all events."""
    state, history = initial, []
    for command in commands:
        events = decided(command, state)
        for event in events:
            state = HANDLERS[type(command)].evolve(state, event)
        history += events
    return state, history


def decided(command, state):
    try:
        return list(HANDLERS[type(command)].decide(command, state))
    except AtelierError:
        return []


def of(command: type[Any], aggregate: UUID, account: UUID | None = ACCOUNT, **fields: Any) -> Any:
    """A strategy for a command to one aggregate."""
    return st.builds(command, aggregate_id=st.just(aggregate), account=st.just(account), **fields)


SECONDS = st.sampled_from([0.0, 2.0])
FEW = st.integers(0, MAX_ATTEMPTS + 2)
WORD = st.sampled_from(["", "a", "b"])
MAYBE = st.none() | WORD

RENDER = st.one_of(
    of(
        RequestRender,
        TASK,
        account_number=st.just(33),
        vip=st.booleans(),
        limit=st.integers(1, 3),
        request_hash=MAYBE,
        kind=st.just("image"),
        user_details=st.just(UserDetails()),
        apparel_details=st.just(ApparelDetails()),
        image_options=st.just(ImageOptions()),
        render_mode=st.just("3D"),
        garment=st.none(),
    ),
    of(StartRender, TASK, consumer=WORD),
    of(StartRender, TASK, consumer=WORD),
    of(RequeueRender, TASK, attempt=FEW, reason=WORD, retry_after_seconds=SECONDS),
    of(RetryRender, TASK),
    of(FailAttempt, TASK, attempt=FEW, code=WORD, message=WORD),
    of(
        CompleteRender,
        TASK,
        attempt=FEW,
        engine=WORD,
        files=st.just((source(), source("other.jpg"), thumbnail())),
        ignored=st.just(()),
        measured=st.just({}),
    ),
    of(CancelRender, TASK),
    of(RemoveFile, TASK, name=st.sampled_from([source().name, "other.jpg", "none.jpg"])),
)

AVATARS = [avatar_uploaded(1), avatar_uploaded(2)]

PERSON = st.one_of(
    of(
        RegisterAccount,
        ACCOUNT,
        number=st.integers(1, 3),
        email=WORD,
        full_name=WORD,
        date_of_birth=FEW,
        ethnicity=WORD,
        gender=WORD,
    ),
    of(UpdateAccountInfo, ACCOUNT, full_name=MAYBE, ethnicity=MAYBE, gender=MAYBE),
    of(UpdateAccountDetails, ACCOUNT, face_shape=MAYBE, hair_style=MAYBE),
    of(GrantVip, ACCOUNT),
    of(WithdrawVip, ACCOUNT),
    st.sampled_from(AVATARS).map(
        lambda a: UploadAvatar(
            aggregate_id=ACCOUNT, account=ACCOUNT, picture=a.picture, thumbnail=a.thumbnail
        )
    ),
)

DETAILS = st.builds(
    lambda name, sizes: garment_details(name=name, sizes=sizes), WORD, st.tuples(WORD)
)
GARMENT = of(ListGarment, TASK, None, details=DETAILS)

COMMANDS = [(RENDER, render), (PERSON, account), (GARMENT, garment)]


@given(st.data())
def test_the_same_command_twice_adds_no_second_event(data):
    strategy, aggregate = data.draw(st.sampled_from(COMMANDS))
    state, _ = execute(data.draw(st.lists(strategy, max_size=12)), aggregate.initial)
    command = data.draw(strategy)
    once, _ = execute([command], state)
    if not isinstance(command, StartRender):  # claiming a started task means that its lease is over
        assert decided(command, once) == []


@given(st.data())
def test_a_state_is_what_its_events_fold_into_and_nothing_else(data):
    strategy, aggregate = data.draw(st.sampled_from(COMMANDS))
    state, history = execute(data.draw(st.lists(strategy, max_size=12)), aggregate.initial)
    folded = aggregate.initial
    for event in history:
        folded = aggregate.evolve(folded, event)
    assert folded == state
    stored = [msgspec.json.decode(msgspec.json.encode(e), type=type(e)) for e in history]
    assert stored == history


@settings(max_examples=300)
@given(st.lists(RENDER, max_size=25))
def test_a_task_ends_at_most_once_and_is_requested_once(commands):
    _, history = execute(commands, render.initial)
    kinds = [type(event) for event in history]
    assert sum(issubclass(kind, Requested) for kind in kinds) <= 1
    assert sum(kind in ENDS for kind in kinds) <= 1
    if history:
        assert issubclass(kinds[0], Requested)
    ended = next((n for n, kind in enumerate(kinds) if kind in ENDS), len(kinds))
    assert all(kind is RenderFileRemoved for kind in kinds[ended + 1 :])


@settings(max_examples=300)
@given(st.lists(RENDER, max_size=25))
def test_attempts_are_counted_up_and_never_too_many(commands):
    state, history = execute(commands, render.initial)
    started = [event.attempt for event in history if isinstance(event, RenderStarted)]
    assert started == list(range(1, len(started) + 1))
    forgiven = sum(isinstance(e, RenderRequeued) and not e.counted for e in history)
    assert 0 <= len(started) - forgiven <= MAX_ATTEMPTS
    assert state.spent == len(started) - forgiven
    results = [event for event in history if isinstance(event, (RenderCompleted, RenderRequeued))]
    assert all(event.attempt in started for event in results)


@given(st.lists(RENDER, max_size=25))
def test_every_file_was_published_and_is_removed_at_most_once(commands):
    state, history = execute(commands, render.initial)
    published = [f.key for e in history if isinstance(e, RenderCompleted) for f in e.files]
    removed = [key for e in history if isinstance(e, RenderFileRemoved) for key in e.keys]
    assert len(removed) == len(set(removed))
    assert sorted(removed + [file.key for file in state.files]) == sorted(published)


@given(st.lists(PERSON, max_size=12))
def test_an_account_keeps_its_number_and_address_for_ever(commands):
    state, history = execute(commands, account.initial)
    registered = [event for event in history if isinstance(event, account.AccountRegistered)]
    assert len(registered) == min(1, len(history))
    if history:
        assert history[0] is registered[0]
        assert (state.number, state.info.email) == (registered[0].number, registered[0].email)


@given(st.lists(PERSON, max_size=12))
def test_no_avatars_files_are_left_behind(commands):
    state, history = execute(commands, account.initial)
    uploads = [event for event in history if isinstance(event, account.AvatarUploaded)]
    replaced = [key for upload in uploads for key in upload.replaced]
    shown = [file.key for upload in uploads for file in (upload.picture, upload.thumbnail)]
    assert sorted(replaced + [file.key for file in state.avatar]) == sorted(shown)


@given(st.lists(GARMENT, max_size=12))
def test_a_garment_is_listed_once_and_is_then_what_was_said_last(commands):
    state, history = execute(commands, garment.initial)
    assert [isinstance(event, GarmentListed) for event in history] == [
        number == 0 for number in range(len(history))
    ]
    if commands:
        assert state.details == commands[-1].details
    assert all(one.details != other.details for one, other in itertools.pairwise(history))
