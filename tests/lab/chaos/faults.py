"""The catalogue of faults: each hurts the daemon in one way and undoes what does not undo itself."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial

import psutil

from spark_actors.kernel.errors import StorageError
from spark_actors.messaging.crash_points import CrashPoint
from tests.fixtures.application import CONTEXTS
from tests.lab.chaos import neighbours, nodes, underfoot
from tests.lab.chaos.queries import ChaosQueries
from tests.lab.chaos.stage import Act, Stage, send_signal, stopped
from tests.lab.chaos.target import POLL_SECONDS, TargetError
from tests.lab.faults.folder import NodeMood, Strike

ROOT = "spark/root/supervisor/0"
GIVEN_UP_SECONDS = 30.0
"""Within this, a process that says nothing is replaced; the patience of the target's keepers is a tenth."""
SHORT_SECONDS = (0.5, 2.5)
STRIKE_SECONDS = 20.0
AN_HOUR = timedelta(hours=1)


async def kill_actor(kind: str, stage: Stage) -> str:
    """`kill -9` of one actor's process of this kind."""
    actors = [
        (name, pid) for name, pid in (await stage.target.actors()).items() if f"/{kind}/" in name and name != ROOT
    ]
    name, pid = stage.random.choice(sorted(actors))
    send_signal([pid], signal.SIGKILL)
    return name


async def kill_root(stage: Stage) -> str:
    """`kill -9` of the root supervisor, which shows as a supervisor like those of the contexts."""
    pid = (await stage.target.actors())[ROOT]
    send_signal([pid], signal.SIGKILL)
    return ROOT


async def zombie(stage: Stage) -> str:
    """An AggregateActor stops for longer than its keeper's patience; once it is replaced, it is continued."""
    actors = await stage.target.actors()
    name = stage.random.choice(sorted(name for name in actors if "/aggregate/" in name))
    send_signal([actors[name]], signal.SIGSTOP)
    await _revived(actors[name], stage)
    return name


async def zombie_under_new_root(stage: Stage) -> str:
    """The same, and the root that would have noticed dies meanwhile: its successor finds an actor that says nothing."""
    actors = await stage.target.actors()
    name = stage.random.choice(sorted(name for name in actors if "/aggregate/" in name))
    send_signal([actors[name]], signal.SIGSTOP)
    send_signal([actors[ROOT]], signal.SIGKILL)
    await _revived(actors[name], stage)
    return name


async def zombie_in_turn(stage: Stage) -> str:
    """The same, exactly between deciding a turn and committing it."""
    pid = await _struck(stage, CrashPoint.TURN_BEFORE_COMMIT, Strike.STOP)
    if pid:
        await _revived(pid, stage)
    return f"process {pid}"


async def pause(stage: Stage) -> str:
    """Any actor stops for a while, as in a long garbage collection."""
    name, pid = stage.random.choice(sorted((await stage.target.actors()).items()))
    await stopped([pid], stage.random.uniform(*SHORT_SECONDS))
    return name


async def pause_several(stage: Stage) -> str:
    """A third of all processes, services and all, stops for a while."""
    everybody = psutil.Process(stage.target.pid).children(recursive=True)
    chosen = stage.random.sample(everybody, len(everybody) // 3)
    await stopped([process.pid for process in chosen], stage.random.uniform(*SHORT_SECONDS))
    return f"{len(chosen)} processes"


async def kill_daemon(stage: Stage) -> str:
    """`kill -9` of the whole daemon, and a new start."""
    await asyncio.sleep(stage.random.uniform(0, 1))
    await stage.target.kill()
    stage.target.launch()
    await stage.target.ready()
    return "killed and started again"


async def crash(point: CrashPoint, stage: Stage, detail: str = "") -> str:
    """A process dies exactly at the named point."""
    pid = await _struck(stage, point, Strike.KILL, detail, passes=stage.random.randint(0, 5))
    return f"process {pid}" if pid else "nobody passed"


async def crash_several(points: Sequence[CrashPoint], stage: Stage) -> str:
    """A process each dies at these points, all at about the same time. Raises TargetError if nobody comes by."""
    struck = await asyncio.gather(*(_struck(stage, point, Strike.KILL) for point in points))
    if not all(struck):
        raise TargetError(f"nobody passed all of {', '.join(points)}")
    return f"processes {', '.join(map(str, struck))}"


async def kill_postgres(stage: Stage) -> str:
    """`kill -9` of the Postgres server, with all of its sessions a moment later."""
    return _end_service("postgres", stage.target.postgres_pid, signal.SIGKILL)


async def restart_postgres(stage: Stage) -> str:
    """Postgres is stopped in the ordinary way."""
    return _end_service("postgres", stage.target.postgres_pid, signal.SIGINT)


async def kill_postgres_session(stage: Stage) -> str:
    """`kill -9` of one of Postgres's sessions, so that the server recovers from a crash."""
    sessions = [p for p in psutil.Process(stage.target.postgres_pid).children() if "[local]" in " ".join(p.cmdline())]
    send_signal([stage.random.choice(sessions).pid] if sessions else [], signal.SIGKILL)
    return "one session"


async def cut_postgres(stage: Stage) -> str:
    """All connections to Postgres are cut, three times."""
    cut = 0
    for _ in range(3):
        with ChaosQueries(stage.target.dsn) as queries:
            cut += queries.cut()
        await asyncio.sleep(stage.random.uniform(0, 0.5))
    return f"{cut} connections"


async def mute_postgres(stage: Stage) -> str:
    """Postgres takes connections and says nothing."""
    server = psutil.Process(stage.target.postgres_pid)
    pids = [server.pid, *(child.pid for child in server.children())]
    await stopped(pids, stage.random.uniform(1, 4))
    return f"{len(pids)} processes"


async def during(manage: Callable[[ChaosQueries], AbstractContextManager[None]], seconds: float, stage: Stage) -> str:
    """Something is wrong inside Postgres for a while."""
    with ChaosQueries(stage.target.dsn) as queries, manage(queries):
        await asyncio.sleep(seconds)
    return f"{seconds:.0f} s"


async def idle_transaction(stage: Stage) -> str:
    """A session sits idle in a transaction for minutes."""
    return await during(ChaosQueries.idle_in_transaction, 2 * stage.long_seconds, stage)


async def kill_nats(stage: Stage) -> str:
    """`kill -9` of the NATS server."""
    return _end_service("nats", stage.target.nats_pid, signal.SIGKILL)


async def restart_nats(stage: Stage) -> str:
    """NATS is stopped in the ordinary way."""
    return _end_service("nats", stage.target.nats_pid, signal.SIGTERM)


async def mute_nats(stage: Stage) -> str:
    """NATS takes connections and says nothing."""
    await stopped([stage.target.nats_pid], stage.random.uniform(1, 6))
    return "NATS"


async def both_away(stage: Stage) -> str:
    """Neither Postgres nor NATS says anything for long."""
    server = psutil.Process(stage.target.postgres_pid)
    pids = [server.pid, *(child.pid for child in server.children()), stage.target.nats_pid]
    await stopped(pids, stage.long_seconds)
    return f"{stage.long_seconds:.0f} s"


async def send_all_again(stage: Stage) -> str:
    """Everything that was sent lately comes again."""
    await stage.send_again()
    return "redelivered"


async def mood(mood: NodeMood, stage: Stage) -> str:
    """The Lightning node is in a mood for a while."""
    stage.target.faults.set_mood(mood)
    try:
        await asyncio.sleep(stage.random.uniform(1, 4))
    finally:
        stage.target.faults.set_mood(NodeMood.WELL)
    return mood


async def jump(stage: Stage) -> str:
    """The wall clock jumps by hours or days, and back."""
    hours = stage.random.choice([-200, -24, -1, 1, 24, 200])
    stage.target.faults.shift_clock(hours * AN_HOUR)
    try:
        await asyncio.sleep(stage.random.uniform(1, 4))
    finally:
        stage.target.faults.shift_clock(timedelta())
    return f"{hours:+} h"


def _refusing(state: str, share: float, queries: ChaosQueries) -> AbstractContextManager[None]:
    return queries.refusing(state, share)


BEFORE = (
    CrashPoint.TURN_BEFORE_COMMIT,
    CrashPoint.INGRESS_BEFORE_REPLY,
    CrashPoint.RELAY_BEFORE_DELIVERY,
    CrashPoint.STEP_BEFORE_COMMANDS,
    CrashPoint.TASK_BEFORE_ASK,
)
AFTER = (
    CrashPoint.TURN_AFTER_COMMIT,
    CrashPoint.INGRESS_AFTER_REPLY,
    CrashPoint.RELAY_AFTER_DELIVERY,
    CrashPoint.STEP_AFTER_COMMANDS,
    CrashPoint.TASK_AFTER_ASK,
    CrashPoint.TASK_AFTER_RECORD,
)
STEPS = tuple(sorted({event.TYPE.name for context in CONTEXTS for event in context.steps}))
"""The events that make a saga take a step."""
KINDS = ("aggregate", "context", "supervisor", "ingress")
FAULTS: Mapping[str, Act] = {
    **{f"kill {kind}": partial(kill_actor, kind) for kind in KINDS},
    "kill root": kill_root,
    "zombie": zombie,
    "zombie in a turn": zombie_in_turn,
    "zombie under a new root": zombie_under_new_root,
    "pause": pause,
    "pause a third": pause_several,
    "kill daemon": kill_daemon,
    **{f"crash {point}": partial(crash, point) for point in CrashPoint},
    "crash before": partial(crash_several, BEFORE),
    "crash after": partial(crash_several, AFTER),
    **{
        f"crash {point} {event}": partial(crash, point, detail=event)
        for point in (CrashPoint.STEP_BEFORE_COMMANDS, CrashPoint.STEP_AFTER_COMMANDS)
        for event in STEPS
    },
    "kill postgres": kill_postgres,
    "restart postgres": restart_postgres,
    "kill postgres session": kill_postgres_session,
    "cut postgres": cut_postgres,
    "mute postgres": mute_postgres,
    "postgres read-only": partial(during, ChaosQueries.read_only, 3.0),
    "postgres disk full": partial(during, partial(_refusing, "53100", 1.0), 3.0),
    "serialization errors": partial(during, partial(_refusing, "40001", 0.3), 3.0),
    "deadlocks": partial(during, partial(_refusing, "40P01", 0.3), 3.0),
    "idle transaction": idle_transaction,
    "kill nats": kill_nats,
    "restart nats": restart_nats,
    "mute nats": mute_nats,
    "both away": both_away,
    "redeliver all": send_all_again,
    **{f"lightning {each}": partial(mood, each) for each in NodeMood if each is not NodeMood.WELL},
    "clock jump": jump,
    **underfoot.FAULTS,
    **neighbours.FAULTS,
}
"""By the name that the account and the command line use."""


OF_CLUSTERS: Mapping[str, Act] = {
    **nodes.FAULTS,
    **{
        name: FAULTS[name]
        for name in (*(f"kill {kind}" for kind in KINDS), "kill root", "zombie", "zombie under a new root", "kill gcs")
    },
}
"""What comes when there are nodes, unless other faults are asked for: some of them on whichever machine it is."""
ALL: Mapping[str, Act] = {**FAULTS, **nodes.FAULTS}


async def _struck(stage: Stage, point: CrashPoint, strike: Strike, detail: str = "", passes: int = 0) -> int | None:
    """The process that was struck at the point, if one came by in time."""
    orders = stage.target.faults
    orders.arm(point, detail, strike=strike, passes=passes)
    try:
        await stage.target.until(lambda: orders.struck(point, detail) is not None, STRIKE_SECONDS, f"passing {point}")
    except TargetError:
        orders.disarm(point, detail)
    return orders.struck(point, detail)


async def _revived(pid: int, stage: Stage) -> None:
    """Continue a stopped actor once another has its name. Raises TargetError if none gets it."""
    try:
        async with asyncio.timeout(GIVEN_UP_SECONDS):
            names = [name for name, known in (await stage.target.actors()).items() if known == pid]
            while True:
                actors = await stage.target.actors()
                if all(actors.get(name, pid) != pid for name in names):
                    break
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        raise TargetError(f"not within {GIVEN_UP_SECONDS:.0f} s: process {pid} is replaced") from None
    finally:
        send_signal([pid], signal.SIGCONT)


def _end_service(name: str, pid: int, number: signal.Signals) -> str:
    send_signal([pid] if pid else [], number)
    return f"{name}, process {pid}"


HICCUPS = (StorageError, TargetError, psutil.NoSuchProcess, OSError)
"""What may go wrong while hurting something that is hurt already; the fault counts as not done."""
