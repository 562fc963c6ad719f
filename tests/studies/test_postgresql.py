"""The queue of trials in PostgreSQL: many at once, a server that goes away, and one that cannot be used."""

import itertools
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from studies.__main__ import main
from studies.trials import storage
from studies.trials.queue import Queue
from tests.support.processes import ended_process
from tests.support.servers import STOP, commands
from tests.support.studies import all_trials, plan_of
from tests.support.waiting import LIMIT

pytestmark = pytest.mark.server


@pytest.fixture
def url(servers, request):
    """The URL of an empty database."""
    name = f"test_{abs(hash(request.node.name))}"
    with psycopg.connect(servers.url("studies"), autocommit=True) as maker:
        maker.execute(f"CREATE DATABASE {name}")
    return servers.url(name)


def at_once(function, arguments):
    """Call the function on all arguments, beginning at the same moment."""
    barrier = threading.Barrier(len(arguments))

    def begin(argument):
        barrier.wait()
        return function(argument)

    with ThreadPoolExecutor(len(arguments)) as pool:
        return list(pool.map(begin, arguments))


def test_launchers_that_start_at_once_in_a_fresh_database(url):
    plan = plan_of(repeats=1)
    queues = at_once(lambda _: Queue.open_for(url, "ablation", plan), range(5))
    assert len(all_trials(queues[0])) == len(plan.points())


def test_every_trial_is_taken_once_and_taken_back_once(url):
    plan = plan_of(repeats=1)
    Queue.open_for(url, "ablation", plan)
    queues = [Queue(url, "ablation") for _ in range(4)]
    claims = list(itertools.chain(*at_once(lambda queue: list(iter(queue.take, None)), queues)))
    assert sorted(claim.number for claim in claims) == list(range(len(plan.points())))
    for claim in claims[:5]:
        claim._trial.set_user_attr("worker", ended_process())
    at_once(Queue.take_back, queues)
    assert Counter(trial.state for trial in queues[0].trials()) == {"WAITING": 5, "RUNNING": len(claims) - 5}
    assert len(all_trials(queues[0])) == len(claims) + 5
    # One that is taken again is its new worker's, even before that has put its name to it.
    for claim in iter(queues[0].take, None):
        assert "worker" in claim._trial.user_attrs
    queues[1].take_back()
    assert len(all_trials(queues[0])) == len(claims) + 5


def test_silent_workers_of_other_machines_are_waited_for_after_a_restart(url, monkeypatch):
    queue = Queue.open_for(url, "ablation", plan_of(vary="alpha=0", repeats=1))
    claim = queue.take()
    claim._trial.set_user_attr("worker", "elsewhere:1")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE trial_heartbeats SET heartbeat = heartbeat - interval '1 hour'")
    monkeypatch.setattr(storage, "PATIENCE", 1e9)
    queue.take_back()  # the server has not run for that long: nobody could give a sign of life before
    assert claim.sign_of_life()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("UPDATE trial_heartbeats SET heartbeat = heartbeat - interval '1 hour'")
    monkeypatch.setattr(storage, "PATIENCE", 0)
    queue.take_back()
    assert not claim.sign_of_life()
    assert not claim.put_back()
    claim.fail("too late")
    assert "RUNNING" not in {trial.state for trial in queue.trials()}
    assert "FAIL" not in {trial.state for trial in queue.trials()}


def test_work_goes_on_when_the_server_comes_back(servers, url, monkeypatch):
    queue = Queue.open_for(url, "ablation", plan_of(repeats=1))
    claim = queue.take()
    servers.as_owner(STOP)
    monkeypatch.setattr(storage, "RETURN", -1)
    for operation in (claim.sign_of_life, claim.choose, queue.trials, queue.take, queue.take_back):
        with pytest.raises(storage.StorageLost, match=r"the storage was lost on the way \(.*\): see to it") as caught:
            operation()
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(storage, "RETURN", LIMIT)
    with ThreadPoolExecutor() as pool:
        chosen = pool.submit(claim.choose)
        taken = pool.submit(queue.take)
        servers.as_owner(commands("postgresql"))
        assert chosen.result()["alpha"] == 0.0
        assert taken.result().number != claim.number
    claim.finish({"top1": 90.0, "unique_params": 3, "entropy_bits": 1.0})
    assert Counter(trial.state for trial in queue.trials()) == {"COMPLETE": 1, "RUNNING": 1, "WAITING": 6}


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("postgresql://wfn:hush@127.0.0.1:1/studies", "Connection refused"),
        ("postgresql://wfn:hush@no.such.host.invalid/studies", "no.such.host.invalid"),
        ("postgresql://wfn:hush@127.0.0.1:{port}/studies", "password authentication failed"),
        ("postgresql://wfn@127.0.0.1:{port}/no_such_database", 'database "no_such_database" does not exist'),
        ("postgresql://wfn@127.0.0.1:{port}/others", "it holds something else: the table 'experiments'"),
        ("postgresql://wfn@127.0.0.1:port/studies", "cannot be used"),
        ("mysql://wfn@127.0.0.1/studies", "neither a file nor PostgreSQL"),
    ],
)
@pytest.mark.parametrize("command", ["run", "status"])
def test_a_server_that_cannot_be_used_is_told_in_one_line(servers, command, where, told, capsys, monkeypatch):
    with psycopg.connect(servers.url("postgres"), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'others'").fetchone():
            connection.execute("CREATE DATABASE others")
            with psycopg.connect(servers.url("others"), autocommit=True) as others:
                others.execute("CREATE TABLE experiments (id int)")
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it was tried again"))
    where = where.format(port=servers.environment["POSTGRESQL_PORT"])
    assert main([command, "ablation", "--storage", where]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "hush" not in error
    assert error.count("\n") == 1
