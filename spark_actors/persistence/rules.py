"""The named rules between rows that a context answers to, declared as data, and who of a turn breaks them.

The store itself keeps them, as constraints, and refuses a whole turn by the first that is broken. Then it is asked
once, for all commands of the turn, who holds what they claim (`probe`, or a look at the rows in memory); what follows
from that is decided here, in the order of the commands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

from spark_actors.messaging.unit_of_work import Effect

Columns: TypeAlias = tuple[str, ...]
"""Names that are attributes of an object and columns of its table alike."""
Values: TypeAlias = tuple[Hashable, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class Rule:
    """No two rows have the same *columns*; or no more than *at_most*; or, with *refers_to*, there is a row with these
    for each that has any.

    A row in which one of the columns is null is not concerned, nor one that the partial index leaves out.
    """

    name: str
    """What the domain calls it, and answers to in its refusals. One name may stand for several rules."""
    constraint: str
    """What the store calls it: a constraint, a unique index, or what a trigger names. Several rules may share it."""
    of: type
    """The states or records that lie in the table."""
    table: str
    columns: Columns
    key: str = ""
    """The column that names the instance, for a table of states; records have no instance to belong to."""
    refers_to: Columns = ()
    """For a foreign key: the columns that *columns* point to."""
    referred: type | None = None
    """What lies in the table that it points to; None for its own."""
    referred_table: str = ""
    once_unknown: Columns = ()
    """Those of *refers_to* that are null in rows of earlier programs: there they fit whatever points to them."""
    at_most: int = 1
    """How many rows may have the same columns. That they are not more than one is kept by a unique index; not more than
    so many, by a trigger on inserted states: an instance that is there already is never refused, and turns that commit
    at the same instant do not count each other's."""
    where: str = ""
    """Of a partial index: its predicate in SQL, on *held* (the row)."""
    concerns: Callable[[Any], bool] = lambda row: True
    """The same predicate on a state or record."""
    expressions: Mapping[str, str] = field(default_factory=dict)
    """What stands in SQL, on *held*, for a column that is an expression."""

    def claimed(self, row: object) -> Values | None:
        """What *row* claims for itself, or points to; None if the rule does not concern it."""
        return _values(self.columns, row) if isinstance(row, self.of) and self.concerns(row) else None

    def provided(self, row: object) -> Values | None:
        """What others may point to in *row*."""
        return _values(self.refers_to, row) if isinstance(row, self.referred or self.of) else None


class Claim(NamedTuple):
    """What one command wants, or points to."""

    place: int
    """Of its effect in the turn."""
    key: str
    """The instance that claims; empty for a record."""
    values: Values


Held: TypeAlias = Mapping[Values, Sequence[str]]
"""What of the claimed is in the store: for a table of states, the keys of the instances that hold it, at least as many
as tell whether there is room for one more."""


def claims_of(rule: Rule, effects: Sequence[Effect[Any]]) -> list[Claim]:
    """What the effects claim by one rule. Of states only what an instance ends with, from where it first had it."""
    if not rule.key:
        return [
            Claim(place, "", values)
            for place, effect in enumerate(effects)
            for record in effect.records
            if (values := rule.claimed(record)) is not None
        ]
    last: dict[str, Claim | None] = {}
    for place, effect in enumerate(effects):
        if effect.state is not None:
            values, before = rule.claimed(effect.state), last.get(effect.key)
            if values is None:
                last[effect.key] = None
            elif before is None or before.values != values:
                last[effect.key] = Claim(place, effect.key, values)
    return sorted(claim for claim in last.values() if claim is not None)


Claims: TypeAlias = Mapping[Rule, Sequence[Claim]]


def claims_by_rule(rules: Sequence[Rule], effects: Sequence[Effect[Any]]) -> Claims:
    return {rule: claims_of(rule, effects) for rule in rules}


def offenders(
    rules: Sequence[Rule],
    effects: Sequence[Effect[Any]],
    claims: Claims,
    stored: Mapping[Rule, Held],
) -> dict[int, str]:
    """Which effects (by place) break which rule, given what the store holds of what they claim.

    In the order of the commands, so that of two that want the same the first one has it.
    """
    by_place: defaultdict[int, list[tuple[Rule, Claim]]] = defaultdict(list)
    for rule in rules:
        for claim in claims[rule]:
            by_place[claim.place].append((rule, claim))
    changed = changed_by(effects)
    taken = {rule: _kept(stored.get(rule, {}), changed, claims[rule]) for rule in rules}
    found: dict[int, str] = {}
    for place in range(len(effects)):
        broken = next((rule for rule, claim in by_place[place] if _breaks(rule, claim, taken[rule])), None)
        if broken is not None:
            found[place] = broken.name
            continue
        for rule, claim in by_place[place]:
            if not rule.refers_to and claim.key not in (holders := taken[rule].setdefault(claim.values, [])):
                holders.append(claim.key)
        _provide(rules, effects[place], taken)
    return found


def changed_by(effects: Sequence[Effect[Any]]) -> set[str]:
    """The keys of the instances that get another state."""
    return {effect.key for effect in effects if effect.state is not None}


def _breaks(rule: Rule, claim: Claim, taken: Mapping[Values, Sequence[str]]) -> bool:
    holders = taken.get(claim.values, ())
    if rule.refers_to:
        return not holders
    return len(holders) >= rule.at_most and not (rule.key and claim.key in holders)


def _provide(rules: Sequence[Rule], effect: Effect[Any], taken: Mapping[Rule, dict[Values, list[str]]]) -> None:
    """What this effect puts into a table may be pointed to by those that come after it."""
    for rule in rules:
        if rule.refers_to:
            for record in effect.records:
                if (values := rule.provided(record)) is not None:
                    taken[rule].setdefault(values, [""])


def _kept(held: Held, changed: Collection[str], claims: Sequence[Claim]) -> dict[Values, list[str]]:
    """What is held, without what an instance that changes in this turn gives up by it."""
    claimed = {(claim.key, claim.values) for claim in claims}
    return {
        values: [key for key in keys if key not in changed or (key, values) in claimed] for values, keys in held.items()
    }


class Probe(NamedTuple):
    """A statement that asks for what is held of the claims of several rules."""

    text: str
    params: dict[str, object]


def probe(rules: Sequence[Rule], claims: Claims, types: Mapping[str, str], changed: Collection[str]) -> Probe | None:
    """Asks Postgres which of these claims are held: rows of the rule's place in *rules*, that of a claim, and key.

    *types* are those of the columns in SQL; what is not among them is text. *changed*: the instances that the turn
    changes. The statement is put together from the declarations alone. None: there is nothing to ask.
    """
    parts: list[str] = []
    params: dict[str, object] = {}
    for number, rule in enumerate(rules):
        if not (asked := claims[rule]):
            continue
        wanted = rule.refers_to or rule.columns
        names = [f"rule{number}_{column}" for column in rule.columns]
        params |= {name: [claim.values[index] for claim in asked] for index, name in enumerate(names)}
        arrays = ", ".join(
            f"%({name})s::{types.get(column, 'text')}[]" for name, column in zip(names, wanted, strict=True)
        )
        inner = ", ".join(f"c{index}" for index in range(len(names)))
        same = " AND ".join(_matches(rule, column, f"claim.c{index}") for index, column in enumerate(wanted))
        claim = f"unnest({arrays}) WITH ORDINALITY AS claim ({inner}, place)"
        if rule.at_most > 1:
            params["changed"] = list(changed)
            claim = f"(SELECT {inner}, min(place) AS place FROM {claim} GROUP BY {inner}) AS claim"
        key = f"held.{rule.key}" if rule.key else "''"
        parts.append(f"SELECT {number}, claim.place - 1, {key} FROM {claim} {_holders(rule, same)}")
    return Probe(" UNION ALL ".join(parts), params) if parts else None


def _holders(rule: Rule, same: str) -> str:
    """Of rows that may be many, those that the turn changes, each of which may give its place up or keep it, and of the
    others only so many as leave no room."""
    table, where = rule.referred_table or rule.table, f" AND ({rule.where})" if rule.where else ""
    if rule.at_most == 1:
        return f"JOIN {table} AS held ON {same}{where}"
    rows = f"SELECT held.{rule.key} FROM {table} AS held WHERE {same}{where} AND held.{rule.key}"
    changed = "%(changed)s::text[]"
    return (
        f"CROSS JOIN LATERAL (({rows} = ANY({changed}))"
        f" UNION ALL ({rows} <> ALL({changed}) LIMIT {rule.at_most})) AS held"
    )


def _matches(rule: Rule, column: str, claimed: str) -> str:
    held = rule.expressions.get(column, f"held.{column}")
    return f"{held} = {claimed}" if column not in rule.once_unknown else f"coalesce({held}, {claimed}) = {claimed}"


def _values(columns: Columns, row: object) -> Values | None:
    values = tuple(attrgetter(column)(row) for column in columns)
    return None if None in values else values
