from hypothesis import given as given_any
from hypothesis import strategies as any_of

from commands import HANDLERS
from commands.render import (
    CancelRender,
    CompleteRender,
    FailAttempt,
    RemoveFile,
    RequestRender,
    RequeueRender,
    StartRender,
)
from domain.errors import AtelierError
from domain.render import (
    MAX_ATTEMPTS,
    RenderCancelled,
    RenderCompleted,
    RenderFailed,
    RenderRequested,
    RenderStarted,
    evolve,
    fit_of,
    initial,
)
from tests.support.scenario import (
    ACCOUNT,
    TASK,
    cancelled,
    completed,
    failed,
    garment_fit,
    registered,
    removed,
    requested,
    requeued,
    source,
    started,
    thumbnail,
    webhook_requested,
)


def after(*events):
    state = initial
    for event in events:
        state = evolve(state, event)
    return state


def test_a_request_is_pending():
    state = after(requested())
    assert (state.status, state.attempt, state.spent) == ("pending", 0, 0)
    assert state.request == requested()


def test_it_is_known_where_the_end_is_to_be_told():
    assert after(requested()).webhook_url is None
    told = webhook_requested()
    assert after(requested(), told, started(1)).webhook_url == told.url


def test_each_start_is_an_attempt_and_spends_one():
    state = after(requested(), started(1), started(2))
    assert (state.status, state.attempt, state.spent) == ("started", 2, 2)


def test_an_attempt_that_does_not_count_is_given_back():
    state = after(requested(), started(1), requeued(1, counted=False))
    assert (state.status, state.attempt, state.spent) == ("pending", 1, 0)


def test_an_attempt_that_counts_stays_spent():
    state = after(requested(), started(1), requeued(1, counted=True))
    assert (state.status, state.attempt, state.spent) == ("pending", 1, 1)


def test_a_completed_render_has_its_files():
    state = after(requested(), started(), completed())
    assert (state.status, state.files) == ("completed", (source(), thumbnail()))


def test_a_failed_render_has_ended():
    assert after(requested(), started(), failed()).status == "failed"


def test_a_cancelled_render_has_ended():
    assert after(requested(), started(), cancelled()).status == "cancelled"


def test_removed_files_are_gone_and_the_others_stay():
    state = after(requested(), started(), completed(), removed())
    assert (state.status, state.files) == ("completed", (thumbnail(),))


def test_events_of_other_aggregates_change_nothing():
    assert after(requested(), registered()) == after(requested())


# Whatever is asked in whatever order.

attempts = any_of.integers(0, 6)
ids = {"aggregate_id": any_of.just(TASK), "account": any_of.just(ACCOUNT)}
commands = any_of.one_of(
    any_of.builds(
        RequestRender,
        **ids,
        kind=any_of.just("image"),
        account_number=any_of.just(33),
        user_details=any_of.just(requested().user_details),
        apparel_details=any_of.just(requested().apparel_details),
        image_options=any_of.just(requested().image_options),
        render_mode=any_of.just("3D"),
        vip=any_of.booleans(),
        limit=any_of.integers(1, 5),
    ),
    any_of.builds(StartRender, **ids, consumer=any_of.sampled_from(["one", "two"])),
    any_of.builds(
        RequeueRender,
        **ids,
        attempt=attempts,
        reason=any_of.just("stopped"),
        retry_after_seconds=any_of.just(0.0),
    ),
    any_of.builds(
        FailAttempt, **ids, attempt=attempts, code=any_of.just("e"), message=any_of.just("m")
    ),
    any_of.builds(
        CompleteRender,
        **ids,
        attempt=attempts,
        engine=any_of.just("test"),
        files=any_of.just((source(), thumbnail())),
        ignored=any_of.just(()),
        measured=any_of.just({}),
    ),
    any_of.builds(CancelRender, **ids),
    any_of.builds(RemoveFile, **ids, name=any_of.sampled_from([source().name, "other.jpg"])),
)


def carried_out(asked):
    """All events that the commands lead to, and the state after each."""
    state, events, states = initial, [], [initial]
    for command in asked:
        try:
            decided = HANDLERS[type(command)].decide(command, state)
        except AtelierError:
            continue
        for event in decided:
            state = evolve(state, event)
            events.append(event)
            states.append(state)
    return events, states


def count(events, *kinds):
    return sum(isinstance(event, kinds) for event in events)


@given_any(any_of.lists(commands, max_size=60))
def test_whatever_is_asked_a_render_is_requested_and_ended_once(asked):
    events, _ = carried_out(asked)
    assert count(events, RenderRequested) <= 1
    assert count(events, RenderCompleted, RenderFailed, RenderCancelled) <= 1


@given_any(any_of.lists(commands, max_size=60))
def test_whatever_is_asked_attempts_only_grow_and_at_most_three_are_spent(asked):
    events, states = carried_out(asked)
    claims = [event.attempt for event in events if isinstance(event, RenderStarted)]
    assert claims == list(range(1, len(claims) + 1))
    assert all(0 <= state.spent <= MAX_ATTEMPTS for state in states)


@given_any(any_of.lists(commands, max_size=60))
def test_whatever_is_asked_what_has_ended_never_starts_again(asked):
    _, states = carried_out(asked)
    statuses = [state.status for state in states]
    for status in ("completed", "failed", "cancelled"):
        if status in statuses:
            assert set(statuses[statuses.index(status) :]) == {status}


@given_any(any_of.lists(commands, max_size=60))
def test_whatever_is_asked_the_result_is_of_the_newest_attempt(asked):
    events, _ = carried_out(asked)
    claims = [0, *(event.attempt for event in events if isinstance(event, RenderStarted))]
    ends = [event for event in events if isinstance(event, RenderCompleted | RenderFailed)]
    assert all(end.attempt == max(claims) for end in ends)


def test_how_clothes_fit_is_told_once_the_task_is_completed():
    told = completed(fit=(garment_fit(),))

    assert fit_of([requested(), started()]) == ()
    assert fit_of([requested(), started(), told, removed("a.jpg", "1/gallery/a.jpg")]) == told.fit
    assert fit_of([requested(), started(), completed(fit=None)]) == ()
